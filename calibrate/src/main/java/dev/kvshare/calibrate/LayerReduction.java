package dev.kvshare.calibrate;

import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.SharingPlan;

/** What happens to one layer more, so that it keeps fewer keys and values. */
sealed interface LayerReduction permits NearestSource, WindowedLayer {

  /**
   * What a search does to a layer.
   *
   * @param acrossKinds see {@link CalibrationSettings#acrossKinds}
   * @param windowOrNull what layers keep instead of sharing, null where they share
   */
  static LayerReduction of(ModelSpec spec, boolean acrossKinds, LayerWindow windowOrNull) {
    return windowOrNull == null
        ? new NearestSource(spec, acrossKinds)
        : new WindowedLayer(spec, windowOrNull);
  }

  /** The plan with one layer more reduced; null if that layer cannot be. */
  SharingPlan extend(SharingPlan plan, int layer);
}
