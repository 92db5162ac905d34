package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.repair.RepairQuality;

/**
 * What a strategy found.
 *
 * @param strategy its name
 * @param plan its plan
 * @param ending why it found no more
 * @param quality the plan as repaired on the search's windows
 */
public record StrategyResult(String strategy, Plan plan, Ending ending, RepairQuality quality) {

  /** Why a search ended. */
  public enum Ending {
    /** As many layers are reduced as were wanted. */
    REACHED,
    /** No more layers can be reduced within the limits. */
    LIMITED,
    /** What it had so far was further from the model than what another strategy has found. */
    OUTDONE
  }

  /** Whether as many layers are reduced as were wanted. */
  public boolean reached() {
    return ending == Ending.REACHED;
  }

  /** The same under another name. */
  StrategyResult named(String name) {
    return new StrategyResult(name, plan, ending, quality);
  }
}
