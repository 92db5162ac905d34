package dev.kvshare.eval;

import dev.kvshare.policy.ModelIdentity;
import dev.kvshare.policy.Policy;
import dev.kvshare.policy.PolicyFile;
import dev.kvshare.policy.PolicyMismatchException;
import java.nio.file.Path;

/**
 * A policy to measure.
 *
 * @param name the name of its row, usually the path as the user wrote it
 * @param policy the policy
 */
public record EvaluatedPolicy(String name, Policy policy) {
  /**
   * Reads a policy file and checks that it belongs to {@code model} and that this release runs all
   * of it.
   *
   * @param force whether a policy of another model of as many layers is measured as well
   * @throws dev.kvshare.policy.PolicyException if the file is not usable or belongs to another
   *     model
   */
  public static EvaluatedPolicy read(Path file, ModelIdentity model, boolean force) {
    Policy policy = PolicyFile.read(file);
    try {
      if (!force || policy.map().layers() != model.layers()) {
        policy.check(model);
      }
    } catch (PolicyMismatchException e) {
      throw new PolicyMismatchException(file + ": " + e.getMessage());
    }
    return new EvaluatedPolicy(file.toString(), policy);
  }
}
