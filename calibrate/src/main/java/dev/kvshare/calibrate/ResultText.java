package dev.kvshare.calibrate;

import java.util.Locale;

/** A calibration's result in sentences, for the command line and the report. */
final class ResultText {
  private ResultText() {}

  static String summary(CalibrationResult result) {
    SearchOutcome outcome = result.outcome();
    int shared = outcome.map().sharedLayers();
    String found =
        String.format(
            Locale.ROOT,
            "%d of %d layers read another layer's keys and values: %.1f %% of the KV cache is kept"
                + " (similarity %.4f, threshold %s).",
            shared,
            outcome.map().layers(),
            100.0 * outcome.map().ownedLayers() / outcome.map().layers(),
            outcome.similarity(),
            result.settings().threshold());
    return outcome.reached() ? found : found + " " + missed(result);
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
