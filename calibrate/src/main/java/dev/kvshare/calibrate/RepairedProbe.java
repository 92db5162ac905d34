package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingMap;

/** Measures how near a sharing map comes to the unshared model when it is repaired. */
interface RepairedProbe {

  RepairQuality quality(SharingMap map);

  /** Tells that later maps are like {@code map} in their lower layers. */
  void accepted(SharingMap map);
}
