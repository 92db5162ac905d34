package dev.kvshare.calibrate;

import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.capture.LayerWork;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.StrategyResult;
import dev.kvshare.calibrate.search.TestedCandidate;
import java.util.List;
import java.util.Locale;

/** A calibration's result in sentences, for the command line and the report. */
final class ResultText {
  private ResultText() {}

  static String summary(CalibrationResult result) {
    SearchOutcome outcome = result.outcome();
    String found =
        String.format(
            Locale.ROOT,
            "%s (%s).",
            kept(outcome.plan(), result.textTokens()),
            outcome.repaired()
                ? quality(outcome.compared().get(0).quality())
                : String.format(
                    Locale.ROOT,
                    "similarity %.4f, threshold %s",
                    outcome.similarity(),
                    result.settings().limits().threshold()));
    if (outcome.reached()) {
      return found;
    }
    return found + " " + (outcome.repaired() ? limited(outcome) : missed(result));
  }

  private static String kept(Plan plan, int textTokens) {
    int layers = plan.map().layers();
    if (plan.windowedLayers().isEmpty()) {
      return String.format(
          Locale.ROOT,
          "%d of %d layers read another layer's keys and values: %.1f %% of the KV cache is kept",
          plan.map().sharedLayers(),
          layers,
          100 * KvUse.alike(plan, 1).fraction(textTokens));
    }
    int windowed = plan.windowedLayers().size();
    return String.format(
        Locale.ROOT,
        "%d of %d layers keep the first %d and the last %d tokens: %.1f %% of the KV cache is kept of"
            + " a text of %,d tokens",
        windowed,
        layers,
        plan.windows().first(),
        plan.windows().last(),
        100 * KvUse.alike(plan, 1).fraction(textTokens),
        textTokens);
  }

  /** Each strategy with what it found, a line each, the one taken at the front; may be none. */
  static List<String> compared(SearchOutcome outcome) {
    return outcome.compared().stream().map(ResultText::line).toList();
  }

  private static String line(StrategyResult found) {
    if (found.plan().reducedLayers() == 0 && found.ending() == StrategyResult.Ending.OUTDONE) {
      return String.format(
          Locale.ROOT,
          "%-11s given up: the layers alone add up to more than that",
          found.strategy());
    }
    return String.format(
        Locale.ROOT,
        "%-11s %2d layers, %s%s",
        found.strategy(),
        found.plan().reducedLayers(),
        quality(found.quality()),
        ending(found));
  }

  private static String ending(StrategyResult found) {
    return switch (found.ending()) {
      case REACHED -> "";
      case LIMITED -> "; not the size asked for, within the limits";
      case OUTDONE -> "; given up, as that is further off already";
    };
  }

  private static String quality(RepairQuality quality) {
    return String.format(
        Locale.ROOT,
        "after a short repair KL divergence %.4f, perplexity %.3f times, same token %.1f %%,"
            + " similarity %.4f",
        quality.divergence().mean(),
        quality.divergence().perplexityRatio(),
        100 * quality.divergence().agreement(),
        quality.similarity());
  }

  private static String limited(SearchOutcome outcome) {
    return "That is less than asked for (%d): no map that was tried has that size within the limits. Raise --max-kl or --max-perplexity-rise, lower --threshold, or ask for fewer layers."
        .formatted(outcome.wantedSharedLayers());
  }

  static String work(LayerWork work) {
    return String.format(
        Locale.ROOT,
        "%,d layer evaluations (one layer on one sample); the papers' procedure needs %,d (%.1f times"
            + " as many)",
        work.evaluations(),
        work.reference(),
        work.factor());
  }

  private static String similarity(TestedCandidate candidate) {
    return String.format(Locale.ROOT, "similarity %.4f", candidate.similarity())
        + (candidate.measured().isComplete()
            ? ""
            : " on the %d samples after which it could not pass"
                .formatted(candidate.measured().samples()));
  }

  private static String missed(CalibrationResult result) {
    SearchOutcome outcome = result.outcome();
    String missed =
        "That is less than asked for (%d): no further pair of layers stays above the threshold."
            .formatted(outcome.wantedSharedLayers());
    double sufficient = outcome.sufficientThreshold();
    if (!Double.isNaN(sufficient)) {
      return missed + " With --threshold " + sufficient + " it would have been reached.";
    }
    TestedCandidate closest = outcome.closest();
    return missed
        + (closest == null ? "" : " The closest map of that size had " + similarity(closest) + ".")
        + " Lower --threshold, share fewer layers, or try another --strategy.";
  }
}
