package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.repair.RepairQuality;
import java.nio.file.Path;
import java.util.List;

/**
 * What a search is to find and how.
 *
 * @param method how the plan is searched
 * @param goals how many layers are reduced, and in which ways
 * @param limits what an accepted plan keeps
 * @param seed written to the policy; the random order was made with it
 * @param acrossKinds whether layers with a sliding window and layers with full attention may share
 *     with each other
 * @param text token ids, one array a passage, on which plans are repaired and compared; empty for
 *     the samples
 * @param maxStateBytes most bytes of hidden states kept for resuming candidates; what does not fit
 *     is computed again
 * @param journal file of the progress of the search, or null for none
 * @param resume whether to go on where the journal ends, if it exists
 */
public record SearchSettings(
    Method method,
    SearchGoals goals,
    Limits limits,
    long seed,
    boolean acrossKinds,
    List<int[]> text,
    long maxStateBytes,
    Path journal,
    boolean resume) {

  /**
   * What a plan must keep to be accepted.
   *
   * @param threshold mean cosine similarity of the last hidden states, from -1 to 1, that is
   *     exceeded
   * @param maxDivergence most mean KL divergence in nats from the unshared model when repaired;
   *     infinity for no limit
   * @param maxPerplexityRise most rise of the perplexity over the unshared model's when repaired,
   *     as a fraction of it; infinity for no limit
   */
  public record Limits(double threshold, double maxDivergence, double maxPerplexityRise) {
    /** The threshold of the reference implementation. */
    public static final double DEFAULT_THRESHOLD = 0.5;

    /** Checks the values. */
    public Limits {
      if (!(threshold >= -1 && threshold <= 1)) {
        throw new CalibrationException.Usage(
            "The threshold is a cosine similarity from -1 to 1, not %s; the usual one is %s."
                .formatted(threshold, DEFAULT_THRESHOLD));
      }
      if (!(maxDivergence > 0) || !(maxPerplexityRise > 0)) {
        throw new CalibrationException.Usage(
            "A limit on KL divergence or on the rise of the perplexity must be above 0, not %s and %s."
                .formatted(maxDivergence, maxPerplexityRise));
      }
    }

    /** A threshold and no other limit. */
    public static Limits ofThreshold(double threshold) {
      return new Limits(threshold, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY);
    }

    /** Whether a repaired plan keeps them all. */
    public boolean hold(RepairQuality repaired) {
      return repaired.similarity() > threshold
          && repaired.divergence().mean() <= maxDivergence
          && repaired.divergence().perplexityRatio() - 1 <= maxPerplexityRise;
    }

    /** Whether any limit needs a repaired plan. */
    public boolean needRepair() {
      return !Double.isInfinite(maxDivergence) || !Double.isInfinite(maxPerplexityRise);
    }
  }

  /** Checks the values. */
  public SearchSettings {
    text = List.copyOf(text);
    if (maxStateBytes < 0) {
      throw new CalibrationException.Usage(
          "The memory for hidden states must be at least 0 bytes, not %d."
              .formatted(maxStateBytes));
    }
    SearchGoals.Window window = goals.window();
    if (goals.windowed().isPresent()
        && text.stream().allMatch(ids -> ids.length <= window.tokens())) {
      throw new CalibrationException.Usage(
          "The text has no passage of more than %d tokens, so that what layers lose which keep the first %d and the last %d cannot be seen: give a longer text or a smaller window."
              .formatted(window.tokens(), window.first(), window.last()));
    }
    if (resume && journal == null) {
      throw new CalibrationException.Usage(
          "A calibration can only be resumed from its journal, and none is named.");
    }
  }
}
