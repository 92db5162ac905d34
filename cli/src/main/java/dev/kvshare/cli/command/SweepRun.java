package dev.kvshare.cli.command;

import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.cli.options.EvalOptions;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.CacheComparison;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.EvaluationListener;
import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.EvaluationRequest;
import dev.kvshare.eval.EvaluationRow;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.experiment.Sweep;
import dev.kvshare.eval.quality.EvaluationText;
import dev.kvshare.eval.speed.MeasuredSpeed;
import dev.kvshare.eval.speed.SpeedSettings;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Measures the schemes of the papers, plain and repaired. With a folder, what was computed is kept
 * there: a run that was killed goes on, and one that measures the speed takes the rest from an
 * earlier one that did not.
 */
final class SweepRun {
  /** Rows that are measured together, with the unshared model beside them, before they are kept. */
  private static final int KEPT_TOGETHER = 4;

  private static final String UNSHARED = "unshared";

  private final EvalOptions options;
  private final Datasets datasets;
  private final LoadedModel model;
  private final Corpus text;
  private final Corpus repairText;
  private final ProgressLine progress;

  /**
   * Nothing measured yet.
   *
   * @param text what is measured on
   * @param repairText what weights are refitted to
   */
  SweepRun(
      EvalOptions options,
      Datasets datasets,
      LoadedModel model,
      Corpus text,
      Corpus repairText,
      ProgressLine progress) {
    this.options = options;
    this.datasets = datasets;
    this.model = model;
    this.text = text;
    this.repairText = repairText;
    this.progress = progress;
  }

  /** The schemes that the options ask for; none without {@code --sweep}. */
  static List<EvaluatedPolicy> schemes(EvalOptions options, ModelIdentity model) {
    List<EvaluatedPolicy> schemes = new ArrayList<>();
    if (!options.model.reductions.isEmpty()) {
      UpwardReading upward = UpwardReading.LCKV_DEFAULT;
      schemes.addAll(Sweep.configurations(model, options.model.reductions, upward));
      schemes.addAll(Sweep.namedSchemes(model, window(options), upward));
    }
    return schemes;
  }

  /**
   * Measures.
   *
   * @param given policies whose rows come first
   * @param cachesOrNull cache policies to measure each with
   */
  EvaluationReport run(List<EvaluatedPolicy> given, CacheComparison cachesOrNull) {
    SweepFolder folder =
        options.model.sweepFolder == null
            ? null
            : SweepFolder.open(options.model.sweepFolder, settings());
    try (SweepRepair repair =
        new SweepRepair(model, repairText, options.model.repairTokens, folder, progress)) {
      List<EvaluatedPolicy> rows = new ArrayList<>(given);
      List<EvaluatedPolicy> schemes = schemes(options, model.identity());
      rows.addAll(options.model.noRepair ? schemes : repair.beside(schemes));
      return folder == null
          ? all(rows, model::encode, cachesOrNull)
          : kept(rows, model::encode, folder);
    }
  }

  private EvaluationReport all(
      List<EvaluatedPolicy> rows, Function<String, int[]> encoder, CacheComparison cachesOrNull) {
    EvaluationRequest request =
        new EvaluationRequest(
            text(encoder), rows, cachesOrNull, options.speed.settings(), datasets);
    return evaluator().evaluate(request, listener());
  }

  private EvaluationReport kept(
      List<EvaluatedPolicy> policies, Function<String, int[]> encoder, SweepFolder folder) {
    Map<CacheOptions, EvaluationRow> measured = measured(policies, encoder, folder);
    List<EvaluationRow> rows = new ArrayList<>();
    rows.add(folder.rowOrNull(UNSHARED));
    policies.forEach(policy -> rows.add(measured.get(policy.options()).named(policy.name())));
    SpeedSettings settings = options.speed.settings();
    EvaluationRequest request = request(policies, encoder, settings);
    Passages windows = request.text().cut();
    List<String> warnings = new ArrayList<>(windows.notes());
    if (settings != null) {
      MeasuredSpeed speed = evaluator().speed(request, listener());
      for (int row = 0; row < rows.size(); row++) {
        rows.set(row, rows.get(row).withSpeed(speed.speeds().get(row)));
      }
      warnings.addAll(speed.warnings());
    }
    return new EvaluationReport(windows, rows, warnings);
  }

  /** The rows of all policies by what is run: from the folder, else measured and kept there. */
  private Map<CacheOptions, EvaluationRow> measured(
      List<EvaluatedPolicy> policies, Function<String, int[]> encoder, SweepFolder folder) {
    Map<CacheOptions, EvaluationRow> found = new HashMap<>();
    List<EvaluatedPolicy> missing = new ArrayList<>();
    for (EvaluatedPolicy policy : policies) {
      if (!found.containsKey(policy.options())) {
        EvaluationRow row = folder.rowOrNull(policy.name());
        found.put(policy.options(), row);
        if (row == null) {
          missing.add(policy);
        }
      }
    }
    for (int start = 0; start < missing.size(); start += KEPT_TOGETHER) {
      List<EvaluatedPolicy> next =
          missing.subList(start, Math.min(missing.size(), start + KEPT_TOGETHER));
      List<EvaluationRow> rows =
          evaluator().evaluate(request(next, encoder, null), listener()).rows();
      folder.keep(UNSHARED, rows.get(0));
      for (int i = 0; i < next.size(); i++) {
        folder.keep(next.get(i).name(), rows.get(i + 1));
        found.put(next.get(i).options(), rows.get(i + 1));
      }
    }
    return found;
  }

  private EvaluationRequest request(
      List<EvaluatedPolicy> policies, Function<String, int[]> encoder, SpeedSettings speed) {
    return new EvaluationRequest(text(encoder), policies, null, speed, datasets);
  }

  private EvaluationText text(Function<String, int[]> encoder) {
    return new EvaluationText(text, encoder, options.windows.cut());
  }

  private Evaluator evaluator() {
    return new Evaluator(model.decoder(), options.model.dtype.bytes());
  }

  private EvaluationListener listener() {
    return (phase, done, total) -> progress.show(phase, done, total, "");
  }

  /** The sliding window of the schemes that have one. */
  private static int window(EvalOptions options) {
    return options.model.sweepWindow == null
        ? Math.max(1, options.windows.window / 4)
        : options.model.sweepWindow;
  }

  /** Everything that decides what is kept of a scheme. */
  private String settings() {
    return "%s %s %s %s %s %s %d %d"
        .formatted(
            model.identity().fingerprint(),
            options.model.dtype,
            options.model.weights,
            text.sha256(),
            options.windows.cut(),
            repairText.sha256(),
            options.model.repairTokens,
            window(options));
  }
}
