package dev.kvshare.calibrate.capture;

import dev.kvshare.apply.plan.SharingMap;
import java.util.Iterator;

/** Measures how far a sharing map changes what the model computes. */
public interface SimilarityMeter {
  /**
   * The similarity of a map as far as it was measured. A map that can no longer pass is dropped: a
   * cosine is at most 1, which bounds what the samples that were not run can add.
   *
   * @param mean mean over the samples that were run of the cosine of the flattened last hidden
   *     states (after the final norm) with those of the unshared model
   * @param samples samples that were run
   * @param allSamples samples of the calibration
   */
  record Similarity(double mean, int samples, int allSamples) {
    public Similarity {
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

  /**
   * How much of the model was run; one evaluation is one layer on one sample.
   *
   * @param evaluations evaluations made, those of the unshared model included
   * @param reference evaluations of the papers' procedure for the same tests: every sample through
   *     all layers once for the ranking, and twice for each test, unshared and under the candidate
   */
  record LayerWork(long evaluations, long reference) {
    /** Nothing was run. */
    public static final LayerWork NONE = new LayerWork(0, 0);

    /** How many times the evaluations made the papers' procedure needs; 1 if nothing was run. */
    public double factor() {
      return evaluations == 0 ? 1 : (double) reference / evaluations;
    }
  }

  /**
   * Runs the samples under {@code candidate}, all of them unless the mean over all is certain not
   * to be greater than {@code threshold}.
   *
   * @param threshold -1 or less to run all samples in any case
   * @return the similarity with the unshared model; complete if it is greater than {@code
   *     threshold}
   */
  Similarity similarity(SharingMap candidate, double threshold);

  /**
   * Tells which candidates are to be tested after the next one as long as none is accepted, so that
   * several may be run at once.
   */
  default void announce(Iterator<SharingMap> candidates) {}

  /** Tells that later candidates start from {@code map}. */
  void accepted(SharingMap map);

  /** How much of the model was run so far. */
  LayerWork work();
}
