package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;

/**
 * CLA-k (arXiv 2405.12981): groups of k layers, each reading its lowest; lasagna-bottom. What k
 * does not divide makes a smaller group at the bottom.
 *
 * @param groupSize k, at least 2
 */
public record CrossLayerAttention(int groupSize) implements Scheme {

  /** Refuses groups that share nothing. */
  public CrossLayerAttention {
    if (groupSize < 2) {
      throw new IllegalArgumentException(
          "cla-%d shares nothing: cla-2, cla-3 and so on do".formatted(groupSize));
    }
  }

  @Override
  public LayerTypes layerTypes(int layers) {
    Groups groups = new Groups();
    if (layers % groupSize > 0) {
      groups.group(layers % groupSize, Position.BOTTOM);
    }
    while (groups.next() < layers) {
      groups.group(groupSize, Position.BOTTOM);
    }
    return groups.types();
  }
}
