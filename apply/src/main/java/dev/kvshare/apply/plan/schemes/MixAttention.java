package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;

/**
 * MixAttention (arXiv 2409.15012) in the form "Pairs" of the LCKV code: every sixth layer has full
 * attention, and each two of these share; the layers between them have a sliding window and share
 * in groups of two and three.
 */
public record MixAttention() implements Scheme {
  private static final int PERIOD = 6;
  private static final int WINDOW = 1024;
  private static final int LARGEST_GROUP = 3;

  @Override
  public LayerTypes layerTypes(int layers) {
    int[] sources = new int[layers];
    List<Integer> windowed = new ArrayList<>();
    for (int full = 0; full < layers; full += PERIOD) {
      boolean second = full / PERIOD % 2 == 1;
      sources[full] = second ? full - PERIOD : full;
      int end = Math.min(layers, full + PERIOD);
      int sliding = end - full - 1;
      int split = full + 1 + (sliding > LARGEST_GROUP ? 2 : sliding);
      for (int layer = full + 1; layer < end; layer++) {
        sources[layer] = layer < split ? full + 1 : split;
        windowed.add(layer);
      }
    }
    return new LayerTypes(SharingMap.of(sources), windowed);
  }

  @Override
  public int slidingWindow() {
    return WINDOW;
  }
}
