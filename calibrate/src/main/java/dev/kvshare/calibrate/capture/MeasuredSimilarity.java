package dev.kvshare.calibrate.capture;

/**
 * The similarity of a candidate as far as it was measured. A candidate that can no longer pass is
 * dropped: a cosine is at most 1, which bounds what the samples that were not run can add.
 *
 * @param mean mean over the samples that were run of the cosine of the flattened last hidden states
 *     (after the final norm) with those of the unshared model
 * @param samples samples that were run
 * @param allSamples samples of the calibration
 */
public record MeasuredSimilarity(double mean, int samples, int allSamples) {
  public MeasuredSimilarity {
    if (samples < 1 || samples > allSamples) {
      throw new IllegalArgumentException(samples + " of " + allSamples + " samples");
    }
  }

  /** Whether every sample was run, so that {@link #mean} is exact. */
  public boolean isComplete() {
    return samples == allSamples;
  }

  /** The highest mean over all samples that is possible; {@link #mean} if all were run. */
  public double upperBound() {
    return isComplete() ? mean : (mean * samples + (allSamples - samples)) / allSamples;
  }
}
