package dev.kvshare.eval;

import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.PolicySupport;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import java.nio.file.Path;

/**
 * A policy to measure.
 *
 * @param name the name of its row, usually the path as the user wrote it
 * @param policy the policy
 * @param overrides its refitted weights, null for none; whoever loaded them closes them
 */
public record EvaluatedPolicy(String name, Policy policy, WeightOverrides overrides) {

  /** A policy with the checkpoint's weights. */
  public EvaluatedPolicy(String name, Policy policy) {
    this(name, policy, null);
  }

  /** How a decoder runs it. */
  public CacheOptions options() {
    return new CacheOptions(policy.plan(), overrides);
  }

  /**
   * The same with the refitted weights of its file.
   *
   * @param file where the policy was read from
   * @throws dev.kvshare.apply.policy.PolicyException if the weights are damaged or another's
   */
  public EvaluatedPolicy repaired(Path file, Decoder decoder) {
    return new EvaluatedPolicy(name, policy, PolicySupport.overrides(policy, file, decoder));
  }

  /**
   * Reads a policy file and checks that it belongs to {@code model} and that this release runs all
   * of it.
   *
   * @param force whether a policy of another model of as many layers is measured as well
   * @throws dev.kvshare.apply.policy.PolicyException if the file is not usable or belongs to
   *     another model
   */
  public static EvaluatedPolicy read(
      Path file, ModelIdentity model, ModelSpec spec, boolean force) {
    return new EvaluatedPolicy(file.toString(), PolicyFile.read(file, model, spec, force));
  }
}
