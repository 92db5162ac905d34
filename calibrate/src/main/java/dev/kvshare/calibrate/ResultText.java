package dev.kvshare.calibrate;

import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance.Validation;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SimilarityMeter.LayerWork;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.report.TextHeatMap;
import dev.kvshare.calibrate.search.KvSharerMethod;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.ShareMethod;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.UnaryOperator;

/** A finished calibration in words. */
final class ResultText {
  private final CalibrationResult result;
  private final Policy policy;
  private final SearchOutcome outcome;

  ResultText(CalibrationResult result) {
    this.result = result;
    this.policy = result.policy();
    this.outcome = result.outcome();
  }

  /** As {@link CalibrationResult#summary}. */
  String summary() {
    String found =
        format(
            "%s (%s).",
            kept(outcome.plan()),
            outcome.repaired()
                ? quality(outcome.compared().get(0).quality())
                : similarity()
                    + (result.settings() == null
                        ? ""
                        : ", threshold " + result.settings().limits().threshold()));
    if (result.reached()) {
      return found;
    }
    return found + " " + (outcome.repaired() ? limited() : missed());
  }

  /** As {@link CalibrationResult#lines}. */
  List<String> lines(UnaryOperator<String> byMethod) {
    List<String> lines = new ArrayList<>(List.of(summary()));
    if (policy.validation() != null) {
      lines.add(repaired(policy.validation()));
    }
    if (result.recall() != null) {
      lines.add("Recall: " + result.recall().words() + ".");
    }
    if (policy.plan().windows() != null) {
      addAlone(lines, ShareMethod.NAME, "Sharing alone loses more", byMethod);
    }
    if (outcome.repaired()) {
      addAlone(
          lines,
          KvSharerMethod.NAME,
          "The papers' order (most dissimilar layers first) loses more",
          byMethod);
    }
    if (!outcome.compared().isEmpty()) {
      lines.add("Plans judged:");
      compared().forEach(line -> lines.add("  " + line));
    }
    if (outcome.work().evaluations() > 0) {
      lines.add("The search took " + work() + ".");
    }
    lines.add("");
    lines.addAll(PlanDescription.picture(policy.plan()));
    KvStatistics measured = result.statistics();
    if (measured != null && measured.distances().layers() <= TextHeatMap.MAX_LAYERS) {
      lines.add("");
      lines.add("Distance of the keys and values of each two layers:");
      lines.addAll(TextHeatMap.lines(measured.distances()));
    }
    return lines;
  }

  /** What a plan came to that was judged too, where another one was taken. */
  private void addAlone(
      List<String> lines, String name, String words, UnaryOperator<String> byMethod) {
    outcome.compared().stream()
        .skip(1)
        .filter(found -> found.name().equals(name))
        .findFirst()
        .ifPresent(
            found ->
                lines.add(
                    format(
                        "%s: after the same short repair, KL divergence %.4f and perplexity %.3f times with %d layers. See: %s",
                        words,
                        found.quality().divergence().mean(),
                        found.quality().divergence().perplexityRatio(),
                        found.plan().reducedLayers(),
                        byMethod.apply(name))));
  }

  /** As {@link CalibrationResult#compared}. */
  List<String> compared() {
    return outcome.compared().stream().map(ResultText::line).toList();
  }

  /** As {@link CalibrationResult#work}. */
  String work() {
    LayerWork work = outcome.work();
    return format(
        "%,d layer evaluations (one layer on one sample); the papers' procedure needs %,d (%.1f times"
            + " as many)",
        work.evaluations(), work.reference(), work.factor());
  }

  /** How near the plan comes, with the repair if there is one. */
  private String repaired(Validation validation) {
    return format(
        "%s: KL divergence from the unshared model %.4f%s; perplexity %.3f times; same token at %.1f %% of %d positions.",
        result.weights() == null ? "Not repaired" : "Repaired",
        validation.divergence(),
        result.weights() == null
            ? ""
            : format(", %.4f without repair", validation.plainDivergence()),
        validation.perplexityRatio(),
        100 * validation.agreement(),
        validation.tokens());
  }

  private String kept(Plan plan) {
    int layers = plan.map().layers();
    double percent = 100 * KvUse.alike(plan, 1).fraction(result.context());
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
        result.context());
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
