package dev.kvshare.eval;

import dev.kvshare.policy.LayerTypes;
import dev.kvshare.policy.ModelIdentity;
import dev.kvshare.policy.Policy;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.policy.UpwardReading;
import dev.kvshare.policy.scheme.Configuration;
import dev.kvshare.policy.scheme.Partition;
import dev.kvshare.policy.scheme.Position;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The nine configurations of "A Systematic Study of Cross-Layer KV Sharing" (arXiv 2410.14442,
 * table 2) at several reductions of the KV cache.
 */
public final class Sweep {
  /** What everybody who reads such a table has to know. */
  public static final String NOTE =
      "Post-hoc sharing: the model was not trained under these maps. Models trained under them lose"
          + " far less; in arXiv 2410.14442 most configurations stay close to the unshared model at a"
          + " 2x reduction.";

  private Sweep() {}

  /**
   * Returns a policy for each configuration and reduction, by reduction, then as in the paper.
   *
   * @param reductions by how many times the KV cache is to shrink; the number of layers with a
   *     cache is rounded
   * @param upward how prompts are run where a source lies above its reader
   */
  public static List<EvaluatedPolicy> policies(
      ModelIdentity model, List<Integer> reductions, UpwardReading upward) {
    List<EvaluatedPolicy> policies = new ArrayList<>();
    for (int reduction : reductions) {
      int kept = Math.max(1, (int) Math.round((double) model.layers() / reduction));
      for (Partition partition : Partition.values()) {
        for (Position position : Position.values()) {
          Configuration configuration = Configuration.of(partition, position, kept);
          LayerTypes types = configuration.layerTypes(model.layers());
          SharingPlan plan = types.plan(0, upward, false);
          policies.add(
              new EvaluatedPolicy(
                  String.format(
                      Locale.ROOT, "%dx %s, %d KV layers", reduction, configuration.name(), kept),
                  Policy.builder(model, plan.map()).upward(plan.upward()).build()));
        }
      }
    }
    return policies;
  }
}
