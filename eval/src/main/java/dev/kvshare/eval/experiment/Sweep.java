package dev.kvshare.eval.experiment;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.schemes.Configuration;
import dev.kvshare.apply.plan.schemes.Partition;
import dev.kvshare.apply.plan.schemes.Position;
import dev.kvshare.apply.plan.schemes.Schemes;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.eval.EvaluatedPolicy;
import java.util.ArrayList;
import java.util.List;

/**
 * The nine configurations of "A Systematic Study of Cross-Layer KV Sharing" (arXiv 2410.14442,
 * table 2) at several reductions of the KV cache, and the schemes that have names of their own.
 */
public final class Sweep {
  /** What everybody who reads such a table has to know. */
  public static final String NOTE =
      "Post-hoc sharing: the model was not trained under these maps. Models trained under them lose"
          + " far less; in arXiv 2410.14442 most configurations stay close to the unshared model at a"
          + " 2x reduction.";

  private Sweep() {}

  /** The schemes with names of their own that are measured beside the nine. */
  private static final List<String> NAMED =
      List.of("cla-2", "cla-3", "yoco", "mixattention", "lckv");

  /**
   * Returns a policy for each configuration and reduction, by reduction, then as in the paper.
   *
   * @param reductions by how many times the KV cache is to shrink; the number of layers with a
   *     cache is rounded
   * @param upward how prompts are run where a source lies above its reader
   */
  public static List<EvaluatedPolicy> configurations(
      ModelIdentity model, List<Integer> reductions, UpwardReading upward) {
    List<EvaluatedPolicy> policies = new ArrayList<>();
    for (int reduction : reductions) {
      int kept = Math.max(1, (int) Math.round((double) model.layers() / reduction));
      for (Partition partition : Partition.values()) {
        for (Position position : Position.values()) {
          Configuration configuration = Configuration.of(partition, position, kept);
          Plan plan = configuration.layerTypes(model.layers()).plan(0, upward, false);
          policies.add(policy(model, plan, reduction + "x " + configuration.name()));
        }
      }
    }
    return policies;
  }

  /**
   * Returns a policy for each scheme with a name of its own, with the numbers of its paper.
   *
   * @param window tokens that layers with a sliding window see
   * @param upward how prompts are run where a source lies above its reader
   */
  public static List<EvaluatedPolicy> namedSchemes(
      ModelIdentity model, int window, UpwardReading upward) {
    List<EvaluatedPolicy> policies = new ArrayList<>();
    for (String name : NAMED) {
      Plan plan =
          Schemes.of(name, null, null).layerTypes(model.layers()).plan(window, upward, false);
      String windowed = plan.windowedLayers().isEmpty() ? "" : ", window " + window;
      policies.add(policy(model, plan, name + windowed));
    }
    return policies;
  }

  private static EvaluatedPolicy policy(ModelIdentity model, Plan plan, String name) {
    return new EvaluatedPolicy(
        "%s, %d KV layers".formatted(name, plan.map().ownedLayers()), Policy.of(model, plan));
  }
}
