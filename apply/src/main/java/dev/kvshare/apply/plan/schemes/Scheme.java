package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;

/** A rule that says for any number of layers which layer reads whose keys and values. */
public sealed interface Scheme permits Configuration, CrossLayerAttention, Yoco, MixAttention {

  /**
   * The layer types of a model.
   *
   * @param layers its number of layers
   * @throws IllegalArgumentException if the scheme does not fit so many layers
   */
  LayerTypes layerTypes(int layers);

  /** The sliding window of its paper, for the layers that have one. */
  default int slidingWindow() {
    return LayerTypes.DEFAULT_SLIDING_WINDOW;
  }
}
