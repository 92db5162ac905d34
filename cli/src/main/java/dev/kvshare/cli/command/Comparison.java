package dev.kvshare.cli.command;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.Calibrator;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.LayerWindow;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.repair.RepairedPolicy;
import dev.kvshare.calibrate.search.AutoStrategy;
import dev.kvshare.calibrate.search.SearchStrategy;
import dev.kvshare.cli.options.CalibrateOptions;
import dev.kvshare.cli.options.EvalOptions;
import dev.kvshare.cli.print.CalibrationProgress;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.CalibrationSampler;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.EvaluationRequest;
import dev.kvshare.eval.EvaluationRow;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.quality.EvaluationText;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Measures the strategies side by side: each map as it is and repaired, on every text. What was
 * measured of a map is a file in the folder, so that a run that was killed goes on after the last
 * of them.
 */
final class Comparison {
  private static final int SAMPLES = 30;
  private static final int SAMPLE_TOKENS = 64;
  private static final int SEARCH_TEXT_TOKENS = 100_000;

  private static final List<String> METHODS =
      List.of("dissimilar", "similar", "random", AutoStrategy.NAME, AutoStrategy.WINDOWS);
  private static final int RANDOM_SEEDS = 5;

  private final EvalOptions options;
  private final Datasets datasets;
  private final Output output;
  private final ProgressLine progress;
  private final LoadedModel model;
  private final Corpus calibration;
  private final List<Corpus> texts;
  private final RepairText repairText;

  /**
   * A comparison that has not begun.
   *
   * @param calibration the text of every search and repair
   * @param texts the texts to measure on
   */
  Comparison(
      EvalOptions options,
      Datasets datasets,
      Output output,
      ProgressLine progress,
      LoadedModel model,
      Corpus calibration,
      List<Corpus> texts) {
    this.options = options;
    this.datasets = datasets;
    this.output = output;
    this.progress = progress;
    this.model = model;
    this.calibration = calibration;
    this.texts = List.copyOf(texts);
    this.repairText = new RepairText(model);
  }

  /** Measures all maps, or takes them from the folder. */
  List<ComparedMap> run() {
    List<ComparedMap> maps = new ArrayList<>();
    Calibrator calibrator = new Calibrator(model.decoder(), model.identity());
    KvStatistics statistics = null;
    for (int size : options.comparison.sizes(model.decoder().spec().layers())) {
      for (String method : METHODS) {
        for (int seed = 0; seed < (method.equals("random") ? RANDOM_SEEDS : 1); seed++) {
          String name = method + (method.equals("random") ? seed : "") + "-" + size;
          Path file = options.comparison.folder.resolve(name + ".json");
          Path measured = options.comparison.folder.resolve(name + ".rows.json");
          ComparedMap map = ComparedMap.readOrNull(measured, settings());
          if (map == null) {
            if (statistics == null) {
              statistics = capture(calibrator);
            }
            map = measure(calibrator, statistics, method, seed, size, file);
            map.write(measured);
            output.note("measured " + name);
          }
          maps.add(map);
        }
      }
    }
    return maps;
  }

  private KvStatistics capture(Calibrator calibrator) {
    CalibrationSampler sampler = new CalibrationSampler(SAMPLES, SAMPLE_TOKENS);
    Passages samples = sampler.sample(calibration, model::encode);
    return calibrator.capture(
        new DatasetReference(samples.name(), samples.sha256()),
        samples.passages(),
        new CalibrationProgress(output, progress));
  }

  private ComparedMap measure(
      Calibrator calibrator,
      KvStatistics statistics,
      String method,
      int seed,
      int size,
      Path file) {
    long start = System.nanoTime();
    CalibrationResult result =
        calibrator.search(
            statistics, settings(method, seed, size), new CalibrationProgress(output, progress));
    long searched = System.nanoTime();
    CalibrateOptions.RepairOptions repair = new CalibrateOptions.RepairOptions();
    repair.tokens = options.model.repairTokens;
    RepairedPolicy fitted =
        new RepairRun(repair, repairText, output).run(result.policy(), calibration, progress);
    long done = System.nanoTime();
    Policy repaired = fitted.write(file);
    EvaluatedPolicy withWeights =
        new EvaluatedPolicy(method, repaired).repaired(file, model.decoder());
    List<ComparedMap.OnText> measured = new ArrayList<>();
    try {
      for (Corpus text : texts) {
        measured.add(onText(text, new EvaluatedPolicy(method, result.policy()), withWeights));
      }
    } finally {
      if (withWeights.overrides() != null) {
        withWeights.overrides().close();
      }
    }
    return new ComparedMap(
        settings(),
        method,
        size,
        repaired.plan().reducedLayers(),
        (searched - start) / 1e9,
        (done - searched) / 1e9,
        measured);
  }

  private CalibrationSettings settings(String method, int seed, int size) {
    CalibrationSettings.Builder settings = CalibrationSettings.builder().seed(seed);
    return method.equals(AutoStrategy.WINDOWS)
        ? settings
            .strategy(SearchStrategy.of(AutoStrategy.NAME, seed, false))
            .window(LayerWindow.DEFAULT)
            .budget(new KvBudget.WindowedLayers(size))
            .text(repairText.windows(calibration, SEARCH_TEXT_TOKENS, true))
            .build()
        : settings
            .strategy(SearchStrategy.of(method, seed, false))
            .budget(new KvBudget.SharedLayers(size))
            .text(repairText.windows(calibration, SEARCH_TEXT_TOKENS, false))
            .build();
  }

  private ComparedMap.OnText onText(Corpus text, EvaluatedPolicy plain, EvaluatedPolicy repaired) {
    List<EvaluationRow> rows =
        new Evaluator(model.decoder(), options.model.dtype.bytes())
            .evaluate(
                new EvaluationRequest(
                    new EvaluationText(text, model::encode, options.windows.cut()),
                    List.of(plain, repaired),
                    null,
                    null,
                    datasets),
                (phase, done, total) -> progress.show(phase, done, total, ""))
            .rows();
    return new ComparedMap.OnText(
        text.name(),
        rows.get(0).perplexity().value(),
        rows.get(1).ratio().value(),
        rows.get(1).ratio().standardError(),
        rows.get(2).ratio().value(),
        rows.get(2).ratio().standardError());
  }

  /** Everything that decides what is measured of a map. */
  private String settings() {
    return "%s %s %s %s %d"
        .formatted(
            model.identity().fingerprint(),
            calibration.sha256(),
            texts.stream().map(Corpus::sha256).toList(),
            options.windows.cut(),
            options.model.repairTokens);
  }
}
