package dev.kvshare.apply.generate;

import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.RefittedWeights;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The refitted weights of policies; everything that runs a policy asks here first. */
public final class PolicySupport {
  private static final Logger LOGGER = LoggerFactory.getLogger(PolicySupport.class);

  private PolicySupport() {}

  /**
   * The weights that a policy replaces. A policy whose file of them is missing still works: a
   * warning says what is lost.
   *
   * @param file where the policy was read from
   * @return null when it replaces none; closed by the caller after every cache made with them
   * @throws dev.kvshare.apply.policy.PolicyException if the file is damaged or another's
   */
  public static WeightOverrides overrides(Policy policy, Path file, Decoder decoder) {
    if (policy.repair() == null || policy.repair().tensors().isEmpty()) {
      return null;
    }
    Path weights = PolicyFile.weights(policy, file);
    if (weights == null) {
      LOGGER.warn(
          "{} has refitted weights in {}, which is not there: the quality is that of plain sharing. Put the file beside the policy, or say --no-repair.",
          file,
          policy.repair().file());
      return null;
    }
    try (NDManager scratch = decoder.newManager()) {
      return decoder.newOverrides(
          RefittedWeights.read(weights, policy.repair(), decoder.spec()).tensors(scratch));
    }
  }
}
