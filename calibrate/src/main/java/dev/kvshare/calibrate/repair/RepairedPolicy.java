package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.apply.policy.RefittedWeights;
import java.nio.file.Path;

/**
 * A policy with its repair, as it is written.
 *
 * @param policy with what was measured
 * @param weights null where there are none
 */
public record RepairedPolicy(Policy policy, RefittedWeights weights) {

  /**
   * Puts a repair into the policy of its plan; where the repair does not help, only what was
   * measured is added.
   *
   * @param policy of the plan that was repaired
   */
  public static RepairedPolicy of(Policy policy, RepairOutcome outcome) {
    boolean used = outcome.improves();
    RepairQuality quality = used ? outcome.repaired() : outcome.plain();
    Provenance.Validation validation =
        new Provenance.Validation(
            quality.divergence().positions(),
            quality.similarity(),
            quality.divergence().mean(),
            quality.divergence().perplexityRatio(),
            quality.divergence().agreement(),
            outcome.plain().divergence().mean());
    return new RepairedPolicy(
        policy.withCalibration(origin -> origin.validation = validation),
        used ? outcome.weights() : null);
  }

  /** Writes policy and weights; returns the policy with the reference to them. */
  public Policy write(Path file) {
    return PolicyFile.write(policy, weights, file);
  }
}
