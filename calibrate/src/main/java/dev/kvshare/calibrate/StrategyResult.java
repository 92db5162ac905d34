package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingMap;

/**
 * What a strategy found.
 *
 * @param strategy its name
 * @param map its map
 * @param reached whether as many layers share as were wanted
 * @param quality the map as repaired on the search's windows
 */
public record StrategyResult(
    String strategy, SharingMap map, boolean reached, RepairQuality quality) {}
