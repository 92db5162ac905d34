package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.repair.RepairQuality;

/** Measures how near a sharing plan comes to the unshared model when it is repaired. */
public interface RepairedProbe {

  RepairQuality quality(Plan plan);

  /** Tells that later plans are like {@code plan} in their lower layers. */
  void accepted(Plan plan);
}
