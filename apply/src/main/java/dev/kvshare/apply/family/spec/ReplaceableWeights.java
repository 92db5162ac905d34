package dev.kvshare.apply.family.spec;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The tensors of a model that a policy may replace, by their names in the checkpoint: the query,
 * key and value projections, the output projection of attention and the down projection of each
 * layer (not of routed experts), with their biases, also where the checkpoint has none. An
 * own-token projection stands beside the output projection under the name {@code own_proj}; no
 * checkpoint has it.
 */
public final class ReplaceableWeights {
  private static final List<WeightRole> ROLES =
      List.of(WeightRole.QUERY_KEY_VALUE, WeightRole.OUTPUT, WeightRole.DOWN);

  /** Where a tensor stands: it is the {@code part}-th of the parts of a layer's weight. */
  public record Slot(int layer, WeightRole role, int part) {}

  private final List<Map<WeightRole, WeightSpec>> layers = new ArrayList<>();
  private final SortedMap<String, Slot> slots = new TreeMap<>();

  private ReplaceableWeights(ModelSpec spec) {
    for (int layer = 0; layer < spec.layers(); layer++) {
      BlockSpec block = spec.blocks().get(layer);
      Map<WeightRole, WeightSpec> weights = new EnumMap<>(WeightRole.class);
      for (WeightRole role : ROLES) {
        WeightSpec weight = block.weights().get(role);
        if (weight != null) {
          weights.put(role, weight);
          WeightSpec bias = block.weights().get(role.bias());
          weights.put(role.bias(), bias == null ? weight.bias() : bias);
        }
      }
      weights.put(
          WeightRole.OWN_TOKEN, ownToken(weights.get(WeightRole.OUTPUT), spec.hiddenSize()));
      layers.add(weights);
      for (Map.Entry<WeightRole, WeightSpec> weight : weights.entrySet()) {
        List<WeightSpec.Part> parts = weight.getValue().parts();
        for (int part = 0; part < parts.size(); part++) {
          slots.put(parts.get(part).tensor(), new Slot(layer, weight.getKey(), part));
        }
      }
    }
  }

  public static ReplaceableWeights of(ModelSpec spec) {
    return new ReplaceableWeights(spec);
  }

  /** Whether a tensor of this name may be replaced or added. */
  public boolean contains(String tensor) {
    return slots.containsKey(tensor);
  }

  /** The shape of a tensor as the checkpoint stores it. */
  public List<Long> shape(String tensor) {
    return part(tensor).shape();
  }

  public int layer(String tensor) {
    return slot(tensor).layer();
  }

  /** Whether the checkpoint stores a projection [in, out] instead of [out, in] (GPT-2). */
  public boolean isTransposed(String tensor) {
    return part(tensor).layout() instanceof WeightSpec.Transposed;
  }

  /** The tensors that a layer's weight is put together from; none where it has no such weight. */
  public List<String> names(int layer, WeightRole role) {
    WeightSpec weight = layers.get(layer).get(role);
    return weight == null
        ? List.of()
        : weight.parts().stream().map(WeightSpec.Part::tensor).toList();
  }

  public Slot slot(String tensor) {
    Slot slot = slots.get(tensor);
    if (slot == null) {
      throw new IllegalArgumentException(
          "'%s' is not among the tensors that a policy may replace: projections of attention and down projections, such as '%s'."
              .formatted(tensor, slots.firstKey()));
    }
    return slot;
  }

  /** A weight of a layer, which its tensors are put together to; null where it has none. */
  public WeightSpec weight(int layer, WeightRole role) {
    return layers.get(layer).get(role);
  }

  private WeightSpec.Part part(String tensor) {
    Slot slot = slot(tensor);
    return weight(slot.layer(), slot.role()).parts().get(slot.part());
  }

  private static WeightSpec ownToken(WeightSpec output, long hidden) {
    String name = output.parts().get(0).tensor().replaceAll("[^.]+\\.weight$", "own_proj.weight");
    List<Long> shape = List.of(hidden, hidden);
    return new WeightSpec(
        shape, List.of(new WeightSpec.Part(name, shape, new WeightSpec.AsStored())));
  }
}
