package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.apply.policy.RepairFile;
import dev.kvshare.apply.policy.Validation;
import java.nio.file.Path;

/** Puts a repair into the policy of its map. */
public final class RepairedPolicy {

  private RepairedPolicy() {}

  /**
   * Writes the refitted weights and names them in the policy; where the repair does not help, only
   * what was measured is added.
   *
   * @param policy of the map that was repaired
   * @param file where the weights go, in the folder of the policy
   */
  public static Policy write(Policy policy, RepairOutcome outcome, Path file) {
    boolean used = outcome.improves() && !outcome.tensors().isEmpty();
    RepairQuality quality = used ? outcome.repaired() : outcome.plain();
    Validation validation =
        new Validation(
            quality.divergence().positions(),
            quality.similarity(),
            quality.divergence().mean(),
            quality.divergence().perplexityRatio(),
            quality.divergence().agreement(),
            outcome.plain().divergence().mean());
    Provenance calibration =
        policy.calibration() == null ? Provenance.builder().build() : policy.calibration();
    return policy
        .withCalibration(calibration.toBuilder().validation(validation).build())
        .withRepair(used ? RepairFile.write(outcome.tensors(), file) : null);
  }
}
