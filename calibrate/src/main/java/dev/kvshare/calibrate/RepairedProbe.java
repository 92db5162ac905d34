package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingPlan;

/** Measures how near a sharing plan comes to the unshared model when it is repaired. */
interface RepairedProbe {

  RepairQuality quality(SharingPlan plan);

  /** Tells that later plans are like {@code plan} in their lower layers. */
  void accepted(SharingPlan plan);
}
