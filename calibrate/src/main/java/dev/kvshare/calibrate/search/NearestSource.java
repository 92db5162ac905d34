package dev.kvshare.calibrate.search;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;

/**
 * One layer more that shares, with the nearest layer below that keeps its own keys and values and
 * may be read. With repair the choice of the layer matters most and that of its source little.
 *
 * @param acrossKinds whether layers with a sliding window and layers with full attention may share
 *     with each other
 */
record NearestSource(ModelSpec spec, boolean acrossKinds) implements LayerReduction {

  /** The source that {@code layer} would read, -1 if there is none. */
  int source(SharingMap map, int layer) {
    for (int source = layer - 1; source >= 0; source--) {
      if (map.ownsCache(source) && spec.mayShare(layer, source, acrossKinds)) {
        return source;
      }
    }
    return -1;
  }

  @Override
  public Plan extend(Plan plan, int layer) {
    SharingMap extended = extend(plan.map(), layer);
    return extended == null ? null : Plan.of(extended);
  }

  private SharingMap extend(SharingMap map, int layer) {
    int source = map.ownsCache(layer) ? source(map, layer) : -1;
    if (source < 0) {
      return null;
    }
    SharingMap extended = map.withShared(layer, source);
    for (int reader = 0; reader < map.layers(); reader++) {
      if (!spec.mayShare(reader, extended.source(reader), acrossKinds)) {
        return null;
      }
    }
    return extended;
  }
}
