package dev.kvshare.cli.command;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.apply.policy.Provenance.Validation;
import dev.kvshare.calibrate.repair.Repair;
import dev.kvshare.calibrate.repair.RepairOutcome;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairedPolicy;
import dev.kvshare.cli.options.CalibrateOptions;
import dev.kvshare.cli.options.RepairPart;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import java.util.List;
import java.util.Locale;

/** The repair at the end of a calibration. */
public final class RepairRun {
  private final CalibrateOptions.RepairOptions options;
  private final RepairText text;
  private final Output output;

  RepairRun(CalibrateOptions.RepairOptions options, RepairText text, Output output) {
    this.options = options;
    this.text = text;
    this.output = output;
  }

  /**
   * Repairs the plan of a policy; one that cannot be repaired is left as it is, with a note.
   *
   * @param corpusOrNull null where the calibration began with stored statistics and no text is
   *     named
   */
  RepairedPolicy run(Policy policy, Corpus corpusOrNull, ProgressLine progress) {
    Plan plan = policy.plan();
    if (plan.reducedLayers() == 0) {
      return new RepairedPolicy(policy, null);
    }
    String obstacle = obstacle(policy, corpusOrNull);
    if (obstacle != null) {
      output.note("not repaired: " + obstacle);
      return new RepairedPolicy(policy, null);
    }
    boolean windowed = !plan.windowedLayers().isEmpty();
    List<int[]> windows = text.windows(corpusOrNull, options.tokens(windowed), windowed);
    if (windows.size() < RepairText.VALIDATION_SHARE) {
      output.note(
          "not repaired: %s is too short, %d windows of %d tokens are needed"
              .formatted(
                  corpusOrNull.name(),
                  RepairText.VALIDATION_SHARE,
                  RepairText.SHORTEST_WINDOW_TOKENS));
      return new RepairedPolicy(policy, null);
    }
    RepairPassages split = RepairPassages.split(windows, RepairText.VALIDATION_SHARE);
    int layers = policy.map().layers();
    RepairOutcome outcome =
        new Repair(text.model().decoder(), RepairPart.settings(options.parts))
            .repair(plan, split, done -> progress.show("refitting layers", done, layers, ""));
    RepairedPolicy repaired = RepairedPolicy.of(policy, outcome);
    return options.text == null ? repaired : named(repaired, corpusOrNull);
  }

  /** The policy with the text of the repair beside that of the search. */
  private static RepairedPolicy named(RepairedPolicy repaired, Corpus text) {
    DatasetReference reference = new DatasetReference(text.name(), text.sha256());
    Policy policy = repaired.policy();
    return new RepairedPolicy(
        policy.withCalibration(policy.calibration().toBuilder().repairDataset(reference).build()),
        repaired.weights());
  }

  /** What a repair reached, for the summary. */
  public static String sentence(Policy policy) {
    Validation validation = policy.validation();
    return String.format(
        Locale.ROOT,
        "%s: KL divergence from the unshared model %.4f, %.4f without repair; perplexity %.3f times; same token at %.1f %% of %d positions.",
        policy.repair() == null ? "The repair did not help and is left out" : "Repaired",
        validation.divergence(),
        validation.plainDivergence(),
        validation.perplexityRatio(),
        100 * validation.agreement(),
        validation.tokens());
  }

  private static String obstacle(Policy policy, Corpus corpusOrNull) {
    if (policy.map().hasUpwardSources()) {
      return "only maps with sources below their readers can be";
    }
    return corpusOrNull == null
        ? "--stats holds no text, which a repair needs; give one by --repair-text"
        : null;
  }
}
