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

  private static String missed(CalibrationResult result) {
    SearchOutcome outcome = result.outcome();
    String missed =
        "That is less than asked for (%d): no further pair of layers stays above the threshold."
            .formatted(outcome.wantedSharedLayers());
    double sufficient = outcome.sufficientThreshold();
    if (!Double.isNaN(sufficient)) {
      return missed + " With --threshold " + sufficient + " it would have been reached.";
    }
    double closest = outcome.closestSimilarity();
    return missed
        + (Double.isNaN(closest)
            ? ""
            : String.format(
                Locale.ROOT, " The closest map of that size had similarity %.4f.", closest))
        + " Lower --threshold, share fewer layers, or try another --strategy.";
  }
}
