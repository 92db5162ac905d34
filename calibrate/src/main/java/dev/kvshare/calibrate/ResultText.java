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
    double sufficient = outcome.sufficientSimilarity();
    if (sufficient > -1) {
      // Rounded down, because the threshold has to be exceeded.
      double threshold = Math.floor(sufficient * 1e4) / 1e4;
      return missed
          + String.format(
              Locale.ROOT,
              " A map of that size was refused with similarity %.4f: try --threshold %.4f.",
              sufficient,
              threshold);
    }
    return missed + " Lower --threshold, share fewer layers, or try another --strategy.";
  }
}
