package dev.kvshare.calibrate;

import dev.kvshare.policy.SharingMap;

/** Measures how far a sharing map changes what the model computes. */
interface SimilarityProbe {

  /**
   * Runs the samples under {@code candidate}.
   *
   * @return mean cosine similarity with the unshared model
   */
  double similarity(SharingMap candidate);

  /** Tells that later candidates start from {@code map}. */
  void accepted(SharingMap map);

  /** How much of the model was run so far. */
  LayerWork work();
}
