package dev.kvshare.cli.command;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyDescription;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.CalibrationUsageException;
import dev.kvshare.calibrate.Calibrator;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.LayerWindow;
import dev.kvshare.calibrate.SchemeCalibration;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.repair.RepairedPolicy;
import dev.kvshare.calibrate.report.ReportFile;
import dev.kvshare.calibrate.search.SearchStrategy;
import dev.kvshare.cli.options.CalibrateOptions;
import dev.kvshare.cli.print.CalibrationProgress;
import dev.kvshare.cli.print.CalibrationSummary;
import dev.kvshare.cli.print.Invocation;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.CalibrationSampler;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Passages;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare calibrate}: finds a sharing map and writes it as a policy. */
@Command(
    name = "calibrate",
    sortOptions = false,
    customSynopsis = "kvshare calibrate [OPTIONS]",
    header = "Find layers that can share keys and values, and write a policy.",
    description = {
      "",
      "Runs the model on sample text, tries which layers can read another layer's keys and values,"
          + " or need no more than the first and last tokens of their own, compares several"
          + " strategies by what the model still computes, and repairs the best plan."
          + " The result is a policy file for 'kvshare apply' and 'kvshare eval', and a report to"
          + " open in a browser. '--strategy dissimilar --no-repair' is the papers' method alone.",
      "",
      "With --scheme or --layer-types nothing is searched: the policy is a sharing scheme of the"
          + " papers, whose similarity is measured.",
      "",
      "All options have defaults: 'kvshare calibrate' calibrates the built-in model on a"
          + " built-in text, in less than a minute."
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare calibrate",
      "  kvshare calibrate --model models/SmolLM2 --share-layers 8 --out smol8.json",
      "  kvshare calibrate --model models/SmolLM2 --window-layers 15 --out windows15.json",
      "  kvshare calibrate --model model.gguf --kv-budget 0.7 --text notes.txt",
      "  kvshare calibrate --scheme sandwich-middle --kv-layers 6 --out sandwich.json",
      "",
      "Exit codes: 0 the policy has the wanted size; 3 the size was not reached above the",
      "threshold, and the best policy found was written; 1 failed; 2 bad usage; 130 interrupted."
    })
final class CalibrateCommand extends BaseCommand {

  /** Tokens from which the search takes its windows. */
  private static final int SEARCH_TEXT_TOKENS = 100_000;

  @Mixin private CalibrateOptions options;

  @Override
  public Integer call() {
    checkCombinations();
    Output output = output();
    try {
      if (options.search.dryRun) {
        Corpus text = options.repair.noRepair ? null : repairCorpusOrNull(corpusOrNull());
        new CalibrationForecast(options, budget(), text, output).print(locate(options.model.model));
        return ExitCodes.DONE;
      }
      if (options.scheme.isGiven()) {
        return scheme(output);
      }
      CalibrationFiles files = CalibrationFiles.plan(options.files, options.search);
      CalibrationSettings.Builder settings = settings(files);
      Corpus corpus = corpusOrNull();
      Corpus repairCorpus = repairCorpusOrNull(corpus);
      interruption().advise(adviceToResume());
      CalibrationResult result;
      RepairedPolicy repaired;
      try (ProgressLine progress = new ProgressLine(output);
          LoadedModel model =
              ProgressLine.load(locate(options.model.model), options.decoderOptions(), output)) {
        RepairText text = new RepairText(model);
        result = calibrate(text, corpus, settings, new CalibrationProgress(output, progress));
        repaired = repaired(result.policy(), text, repairCorpus, progress);
      }
      result = result.withPolicy(repaired.write(files.policy()));
      write(result, files);
      new CalibrationSummary(options.model, files).print(result, output);
      return result.outcome().reached() ? ExitCodes.DONE : ExitCodes.NOT_MET;
    } catch (CalibrationUsageException e) {
      throw usageError(e.getMessage());
    }
  }

  private RepairedPolicy repaired(
      Policy policy, RepairText text, Corpus corpusOrNull, ProgressLine progress) {
    return options.repair.noRepair
        ? new RepairedPolicy(policy, null)
        : new RepairRun(options.repair, text, output()).run(policy, corpusOrNull, progress);
  }

  private void checkCombinations() {
    String problem = options.samples.problem(false);
    if (problem != null) {
      throw usageError(problem);
    }
    String schemeProblem = options.scheme.problem();
    if (schemeProblem != null) {
      throw usageError(schemeProblem);
    }
    String repairProblem = options.repair.problem();
    if (repairProblem != null) {
      throw usageError(repairProblem);
    }
    String goalProblem = options.goal.problem(options.search.strategy);
    if (goalProblem != null) {
      throw usageError(goalProblem);
    }
    if (options.goal.windowLayers != null && options.search.stats != null) {
      throw usageError(
          "--stats holds samples that are too short to see what windows lose: give --text or"
              + " --dataset instead");
    }
    boolean goal =
        options.goal.shareLayers != null
            || options.goal.windowLayers != null
            || options.goal.kvBudget != null;
    boolean statistics = options.search.stats != null || options.search.saveStats != null;
    if (options.scheme.isGiven()
        && (goal || statistics || options.search.resume || options.files.report != null)) {
      throw usageError(
          "a scheme says what is shared, and nothing is searched: leave out --share-layers,"
              + " --window-layers, --kv-budget, --stats, --save-stats, --resume and --report");
    }
    if (options.goal.shareLayers != null && options.goal.kvBudget != null) {
      throw usageError("--share-layers and --kv-budget both say how much to share: give one");
    }
    if (options.files.report != null && options.files.noReport) {
      throw usageError("--report and --no-report contradict each other");
    }
    boolean text = !options.samples.texts.isEmpty() || options.samples.dataset != null;
    if (options.search.stats != null && (text || options.search.saveStats != null)) {
      throw usageError(
          "--stats takes the place of the text: leave out --text, --dataset and --save-stats");
    }
  }

  /** A policy of a scheme: measured, not searched. */
  private int scheme(Output output) {
    options.files.noReport = true;
    CalibrationFiles files = CalibrationFiles.plan(options.files, options.search);
    Corpus corpus = options.samples.load(datasets(), options.model.calibrationDataset());
    Corpus repairCorpus = repairCorpusOrNull(corpus);
    RepairedPolicy repaired;
    try (ProgressLine progress = new ProgressLine(output);
        LoadedModel model =
            ProgressLine.load(locate(options.model.model), options.decoderOptions(), output)) {
      Plan plan = plan(model.decoder().spec().layers());
      Passages samples = samples(model, corpus);
      Policy policy =
          new SchemeCalibration(model.decoder(), model.identity())
              .calibrate(
                  plan,
                  options.scheme.name(),
                  new DatasetReference(samples.name(), samples.sha256()),
                  samples.passages(),
                  new CalibrationProgress(output, progress));
      repaired = repaired(policy, new RepairText(model), repairCorpus, progress);
    }
    output.print(PolicyDescription.of(files.policy(), repaired.write(files.policy())));
    output.results().println();
    output.results().println("wrote the policy " + files.policy());
    output.note("");
    output.note(
        "next: "
            + Invocation.of("eval", options.model, List.of("--policy", files.policy().toString())));
    return ExitCodes.DONE;
  }

  private Plan plan(int layers) {
    Plan plan;
    try {
      plan = options.scheme.plan(layers);
    } catch (IllegalArgumentException e) {
      throw usageError(e.getMessage());
    }
    if (plan.map().hasChains()) {
      throw usageError(
          "a policy cannot say '%s': every layer that others read must keep its own keys and values"
              .formatted(options.scheme.layerTypes));
    }
    return plan;
  }

  private KvBudget budget() {
    if (options.goal.windowLayers != null) {
      return new KvBudget.WindowedLayers(options.goal.windowLayers);
    }
    if (options.goal.shareLayers != null) {
      return new KvBudget.SharedLayers(options.goal.shareLayers);
    }
    return options.goal.kvBudget == null ? KvBudget.DEFAULT : KvBudget.parse(options.goal.kvBudget);
  }

  private CalibrationSettings.Builder settings(CalibrationFiles files) {
    return CalibrationSettings.builder()
        .strategy(
            SearchStrategy.of(
                options.search.strategy, options.search.seed, options.search.preferTop))
        .budget(budget())
        .limits(options.goal.limits())
        .seed(options.search.seed)
        .acrossKinds(options.goal.acrossKinds)
        .maxStateBytes(options.search.batchMemoryBytes)
        .journal(files.journal())
        .resume(options.search.resume);
  }

  /** The text, read before the model because it fails sooner; null with --stats. */
  private Corpus corpusOrNull() {
    return options.search.stats == null
        ? options.samples.load(datasets(), options.model.calibrationDataset())
        : null;
  }

  /** The text of the repair; null with --stats where none is named. */
  private Corpus repairCorpusOrNull(Corpus calibration) {
    return options.repair.text == null
        ? calibration
        : datasets().resolve(options.repair.text, null, System.in).load();
  }

  private CalibrationResult calibrate(
      RepairText text,
      Corpus corpusOrNull,
      CalibrationSettings.Builder settings,
      CalibrationProgress progress) {
    LoadedModel model = text.model();
    Calibrator calibrator = new Calibrator(model.decoder(), model.identity());
    if (corpusOrNull == null) {
      if (options.layerWindow() != null) {
        output()
            .note(
                "--stats holds samples that are too short to see what windows lose: layers only"
                    + " share");
      }
      return calibrator.search(
          StatisticsFile.read(options.search.stats), settings.build(), progress);
    }
    Passages samples = samples(model, corpusOrNull);
    return calibrator.calibrate(
        new DatasetReference(samples.name(), samples.sha256()),
        samples.passages(),
        withText(settings, text, corpusOrNull).build(),
        progress);
  }

  /** A text too short for windows is one for sharing, unless windows are asked for. */
  private CalibrationSettings.Builder withText(
      CalibrationSettings.Builder settings, RepairText text, Corpus corpus) {
    LayerWindow window = options.layerWindow();
    List<int[]> windows = text.windows(corpus, SEARCH_TEXT_TOKENS, window != null);
    if (window != null && options.goal.windowLayers == null && !window.isComparableIn(windows)) {
      output()
          .note(
              "the text has no passage of %,d tokens, which would show what windows lose beside sharing: layers only share"
                  .formatted(window.comparableTokens()));
      window = null;
      windows = text.windows(corpus, SEARCH_TEXT_TOKENS, false);
    }
    return settings.text(windows).window(window);
  }

  private Passages samples(LoadedModel model, Corpus corpus) {
    CalibrationSampler sampler =
        new CalibrationSampler(options.samples.samples, options.samples.tokens);
    Passages samples = sampler.sample(corpus, model::encode);
    samples.notes().forEach(output()::note);
    output().note("text " + samples.summary());
    return samples;
  }

  private static void write(CalibrationResult result, CalibrationFiles files) {
    if (files.statistics() != null) {
      StatisticsFile.write(result.statistics(), files.statistics());
    }
    if (files.report() != null) {
      ReportFile.write(result, files.report());
    }
    try {
      Files.deleteIfExists(files.journal());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private String adviceToResume() {
    List<String> words = new ArrayList<>(arguments());
    if (!options.search.resume) {
      words.add("--resume");
    }
    return "the search goes on where it stopped with:\n  " + Invocation.of(words);
  }
}
