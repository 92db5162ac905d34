package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;

/** Collects the sources of layers from the bottom up. */
final class Groups {
  private final List<Integer> sources = new ArrayList<>();

  /** Layers that each keep their own. */
  Groups ordinary(int layers) {
    for (int i = 0; i < layers; i++) {
      sources.add(sources.size());
    }
    return this;
  }

  /** One group. */
  Groups group(int layers, Position position) {
    int from = sources.size();
    int source = position.of(from, from + layers);
    for (int i = 0; i < layers; i++) {
      sources.add(source);
    }
    return this;
  }

  /**
   * Equal groups. What does not divide leaves the lowest group smaller, as in the CLA-3
   * configuration of the LCKV code, or, where that would leave it empty, the lower groups smaller
   * by one.
   */
  Groups groups(int layers, int count, Position position) {
    int size = (layers + count - 1) / count;
    int lowest = layers - size * (count - 1);
    if (lowest >= 1) {
      group(lowest, position);
      for (int i = 1; i < count; i++) {
        group(size, position);
      }
      return this;
    }
    int larger = layers % count;
    for (int i = 0; i < count; i++) {
      group(layers / count + (i >= count - larger ? 1 : 0), position);
    }
    return this;
  }

  /** The number of the next layer. */
  int next() {
    return sources.size();
  }

  /** Layer types without windows. */
  LayerTypes types() {
    return types(List.of());
  }

  LayerTypes types(List<Integer> windowed) {
    int[] map = sources.stream().mapToInt(source -> source).toArray();
    return new LayerTypes(SharingMap.of(map), windowed);
  }
}
