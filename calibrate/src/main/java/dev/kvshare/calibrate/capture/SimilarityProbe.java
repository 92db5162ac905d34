package dev.kvshare.calibrate.capture;

import dev.kvshare.apply.plan.SharingMap;
import java.util.Iterator;

/** Measures how far a sharing map changes what the model computes. */
public interface SimilarityProbe {

  /**
   * Runs the samples under {@code candidate}, all of them unless the mean over all is certain not
   * to be greater than {@code threshold}.
   *
   * @param threshold -1 or less to run all samples in any case
   * @return the similarity with the unshared model; complete if it is greater than {@code
   *     threshold}
   */
  MeasuredSimilarity similarity(SharingMap candidate, double threshold);

  /**
   * Tells which candidates are to be tested after the next one as long as none is accepted, so that
   * a probe that runs several at once may run them with it.
   */
  default void announce(Iterator<SharingMap> candidates) {}

  /** Tells that later candidates start from {@code map}. */
  void accepted(SharingMap map);

  /** How much of the model was run so far. */
  LayerWork work();
}
