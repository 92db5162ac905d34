package dev.kvshare.calibrate;

import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.apply.policy.Provenance.Validation;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SimilarityMeter.LayerWork;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.report.Report;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchSettings;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * A finished calibration.
 *
 * @param policy the best plan found with its provenance
 * @param weights the refitted weights; null where nothing was repaired or it did not help
 * @param keep what was to be kept
 * @param settings of the search; null where the plan was given
 * @param statistics what the unshared model gave; null where the plan was given
 * @param outcome the search in detail; of a given plan its similarity alone
 * @param context tokens of the text of which the summary says what is kept
 */
public record CalibrationResult(
    Policy policy,
    RefittedWeights weights,
    Keep keep,
    SearchSettings settings,
    KvStatistics statistics,
    SearchOutcome outcome,
    int context) {

  /** Whether the policy has the size that was asked for, within the limits. */
  public boolean reached() {
    return outcome.reached();
  }

  /** The result in one paragraph, with what to do when the size was not reached. */
  public String summary() {
    String found =
        format(
            "%s (%s).",
            kept(outcome.plan()),
            outcome.repaired()
                ? quality(outcome.compared().get(0).quality())
                : similarity()
                    + (settings == null ? "" : ", threshold " + settings.limits().threshold()));
    if (reached()) {
      return found;
    }
    return found + " " + (outcome.repaired() ? limited() : missed());
  }

  /**
   * What is found again of numbers hidden in long texts, under the plan and by the unshared model;
   * null where it was not measured.
   */
  public Recall recall() {
    return policy.recall();
  }

  /** The same with another policy and its weights. */
  CalibrationResult with(Policy other, RefittedWeights weightsOrNull) {
    return new CalibrationResult(
        other, weightsOrNull, keep, settings, statistics, outcome, context);
  }

  /**
   * What each search found whose plan was measured as repaired, a line each, the one whose plan was
   * taken at the front.
   */
  public List<String> compared() {
    return outcome.compared().stream().map(CalibrationResult::line).toList();
  }

  /** How much of the model was run, in words, beside what the papers' procedure runs. */
  public String work() {
    LayerWork work = outcome.work();
    return format(
        "%,d layer evaluations (one layer on one sample); the papers' procedure needs %,d (%.1f times"
            + " as many)",
        work.evaluations(), work.reference(), work.factor());
  }

  /** How near the plan comes, with the repair if there is one; null where it was not measured. */
  public String repaired() {
    Validation validation = policy.validation();
    if (validation == null) {
      return null;
    }
    return format(
        "%s: KL divergence from the unshared model %.4f%s; perplexity %.3f times; same token at %.1f %% of %d positions.",
        weights == null ? "Not repaired" : "Repaired",
        validation.divergence(),
        weights == null ? "" : format(", %.4f without repair", validation.plainDivergence()),
        validation.perplexityRatio(),
        100 * validation.agreement(),
        validation.tokens());
  }

  /**
   * Writes the policy, the refitted weights beside it if there are any, and the report at {@link
   * #reportFile}.
   */
  public void write(Path policyFile) {
    write(policyFile, statistics == null ? null : reportFile(policyFile), null);
  }

  /**
   * Writes the policy and what else is wanted, then deletes the journal, which is not needed any
   * more.
   *
   * @param reportOrNull where the report goes; null for none
   * @param statisticsOrNull where the statistics go; null for nowhere
   */
  public void write(Path policyFile, Path reportOrNull, Path statisticsOrNull) {
    Policy written = PolicyFile.write(policy, weights, policyFile);
    try {
      writeBeside(written, reportOrNull, statisticsOrNull);
    } catch (OutputException e) {
      throw new OutputException(
          "The policy %s is written and can be used. %s".formatted(policyFile, e.getMessage()), e);
    }
    if (settings != null && settings.journal() != null) {
      try {
        Files.deleteIfExists(settings.journal());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  private void writeBeside(Policy written, Path reportOrNull, Path statisticsOrNull) {
    if (statisticsOrNull != null) {
      StatisticsFile.write(statistics, statisticsOrNull);
    }
    if (reportOrNull != null) {
      Report.write(
          new Report.Content(
              written,
              keep.toString(),
              settings,
              statistics,
              outcome,
              summary(),
              compared(),
              work()),
          reportOrNull);
    }
  }

  /** The usual place of the report: report.html beside policy.json, else NAME.report.html. */
  public static Path reportFile(Path policyFile) {
    String name = policyFile.getFileName().toString();
    String stem = name.endsWith(".json") ? name.substring(0, name.length() - 5) : name;
    return policyFile.resolveSibling(stem.equals("policy") ? "report.html" : stem + ".report.html");
  }

  private String kept(Plan plan) {
    int layers = plan.map().layers();
    double percent = 100 * KvUse.alike(plan, 1).fraction(context);
    int shared = plan.map().sharedLayers();
    if (plan.windows() == null) {
      return format(
          "%d of %d layers read another layer's keys and values: %.1f %% of the KV cache is kept",
          shared, layers, percent);
    }
    return format(
        "%d of %d layers keep the first %d and the last %d tokens%s: %.1f %% of the KV cache is kept of"
            + " a text of %,d tokens",
        plan.windowedLayers().size(),
        layers,
        plan.windows().first(),
        plan.windows().last(),
        shared == 0 ? "" : ", %d read another layer's keys and values".formatted(shared),
        percent,
        context);
  }

  private String similarity() {
    return format("similarity %.4f", outcome.similarity());
  }

  private static String line(SearchOutcome.Found found) {
    int layers = found.plan().reducedLayers();
    String ending = found.reached() ? "" : "; more layers would exceed the limits";
    if (found.recall() != null) {
      ending = "; " + found.recall().words().split(" \\(", 2)[0] + ending;
    }
    return format("%-11s %2d layers, %s%s", found.name(), layers, quality(found.quality()), ending);
  }

  private static String quality(RepairQuality quality) {
    return format(
        "after a short repair KL divergence %.4f, perplexity %.3f times, same token %.1f %%,"
            + " similarity %.4f",
        quality.divergence().mean(),
        quality.divergence().perplexityRatio(),
        100 * quality.divergence().agreement(),
        quality.similarity());
  }

  private String limited() {
    return "That is less than asked for (%d): no plan that was tried has that size within the limits. Raise --max-kl or --max-perplexity-rise, lower --threshold, or keep more."
        .formatted(outcome.wantedLayers());
  }

  private String missed() {
    String missed =
        "That is less than asked for (%d): no further pair of layers stays above the threshold."
            .formatted(outcome.wantedLayers());
    double sufficient = outcome.sufficientThreshold();
    if (!Double.isNaN(sufficient)) {
      return missed + " With --threshold " + sufficient + " it would have been reached.";
    }
    SearchOutcome.Tested closest = outcome.closest();
    return missed
        + (closest == null ? "" : " The closest map of that size had " + similarity(closest) + ".")
        + " Lower --threshold, share fewer layers, or try another --method.";
  }

  private static String similarity(SearchOutcome.Tested candidate) {
    return format("similarity %.4f", candidate.similarity())
        + (candidate.measured().isComplete()
            ? ""
            : " on the %d samples after which it could not pass"
                .formatted(candidate.measured().samples()));
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }
}
