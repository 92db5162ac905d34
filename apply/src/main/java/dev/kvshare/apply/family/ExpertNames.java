package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec.Part;
import dev.kvshare.apply.family.spec.Weights;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Names the tensors of routed experts, which are stored one by one or all in one. */
final class ExpertNames {

  private ExpertNames() {}

  /**
   * Router and experts of one layer.
   *
   * @param weights the layer's
   * @param tensors the names of all tensors
   * @param prefix that of the layer
   * @param block what router and experts stand under, for example {@code mlp}
   * @param names gate, up and down projection of one expert
   */
  static void add(
      Weights weights,
      Set<String> tensors,
      String prefix,
      String block,
      List<String> names,
      FeedForwardSpec feedForward,
      int hidden) {
    int inner = feedForward.intermediateSize();
    int experts = feedForward.experts().count();
    weights.matrix(WeightRole.ROUTER, block + ".gate", experts, hidden);
    List<Part> gateUp = new ArrayList<>();
    List<Part> down = new ArrayList<>();
    String all = block + ".experts.";
    if (tensors.contains(prefix + all + "gate_up_proj")) {
      gateUp.add(weights.part(all + "gate_up_proj", experts, 2L * inner, hidden));
      down.add(weights.part(all + "down_proj", experts, hidden, inner));
    } else {
      for (int expert = 0; expert < experts; expert++) {
        String one = all + expert + ".";
        gateUp.add(weights.part(one + names.get(0) + ".weight", inner, hidden));
        gateUp.add(weights.part(one + names.get(1) + ".weight", inner, hidden));
        down.add(weights.part(one + names.get(2) + ".weight", hidden, inner));
      }
    }
    long gateUpRows = 2L * inner * experts;
    long downRows = (long) hidden * experts;
    weights.put(WeightRole.EXPERTS_GATE_UP, List.of(gateUpRows, (long) hidden), gateUp);
    weights.put(WeightRole.EXPERTS_DOWN, List.of(downRows, (long) inner), down);
  }
}
