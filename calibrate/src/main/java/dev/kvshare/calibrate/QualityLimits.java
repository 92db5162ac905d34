package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;

/**
 * What a map must keep to be accepted.
 *
 * @param threshold mean cosine similarity of the last hidden states, from -1 to 1, that is exceeded
 * @param maxDivergence most mean KL divergence in nats from the unshared model when repaired;
 *     infinity for no limit
 * @param maxPerplexityRise most rise of the perplexity over the unshared model's when repaired, as
 *     a fraction of it; infinity for no limit
 */
public record QualityLimits(double threshold, double maxDivergence, double maxPerplexityRise) {
  /** The threshold of the reference implementation. */
  public static final double DEFAULT_THRESHOLD = 0.5;

  /** The threshold of the reference implementation alone. */
  public static final QualityLimits DEFAULT = ofThreshold(DEFAULT_THRESHOLD);

  /** Checks the values. */
  public QualityLimits {
    if (!(threshold >= -1 && threshold <= 1)) {
      throw new CalibrationUsageException(
          "The threshold is a cosine similarity from -1 to 1, not "
              + threshold
              + "; the usual one is "
              + DEFAULT_THRESHOLD
              + ".");
    }
    if (!(maxDivergence > 0) || !(maxPerplexityRise > 0)) {
      throw new CalibrationUsageException(
          "A limit on KL divergence or on the rise of the perplexity must be above 0, not %s and %s."
              .formatted(maxDivergence, maxPerplexityRise));
    }
  }

  /** A threshold and no other limit. */
  public static QualityLimits ofThreshold(double threshold) {
    return new QualityLimits(threshold, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY);
  }

  /** Whether a repaired map keeps them all. */
  public boolean hold(RepairQuality repaired) {
    return repaired.similarity() > threshold
        && repaired.divergence().mean() <= maxDivergence
        && repaired.divergence().perplexityRatio() - 1 <= maxPerplexityRise;
  }

  /** Whether any limit needs a repaired map. */
  public boolean needRepair() {
    return !Double.isInfinite(maxDivergence) || !Double.isInfinite(maxPerplexityRise);
  }
}
