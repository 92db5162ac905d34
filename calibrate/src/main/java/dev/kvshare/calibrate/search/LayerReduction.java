package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;

/** What happens to one layer more, so that it keeps fewer keys and values. */
sealed interface LayerReduction permits NearestSource, WindowedLayer {

  /** The plan with one layer more reduced; null if that layer cannot be. */
  Plan extend(Plan plan, int layer);
}
