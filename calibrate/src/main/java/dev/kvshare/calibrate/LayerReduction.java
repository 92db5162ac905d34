package dev.kvshare.calibrate;

import dev.kvshare.policy.SharingPlan;

/** What happens to one layer more, so that it keeps fewer keys and values. */
sealed interface LayerReduction permits NearestSource, WindowedLayer {

  /** The plan with one layer more reduced; null if that layer cannot be. */
  SharingPlan extend(SharingPlan plan, int layer);
}
