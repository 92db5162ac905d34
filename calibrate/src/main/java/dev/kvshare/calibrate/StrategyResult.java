package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingPlan;

/**
 * What a strategy found.
 *
 * @param strategy its name
 * @param plan its plan
 * @param reached whether as many layers are reduced as were wanted
 * @param quality the plan as repaired on the search's windows
 */
public record StrategyResult(
    String strategy, SharingPlan plan, boolean reached, RepairQuality quality) {}
