package dev.kvshare.apply.decoder.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.LayerWeights.Layer;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Weights in place of a checkpoint's, for the caches that are made with them. Made by {@code
 * Decoder.newOverrides}; closed by whoever asked for them, after those caches. The checkpoint's own
 * tensors are not copied.
 */
public final class WeightOverrides implements AutoCloseable {
  private final PtNDManager manager;
  private final ScriptModule script;
  private final ComputeType type;
  private final ModelWeights model;
  private final ReplaceableWeights replaceable;
  private final SortedSet<String> names;
  private final LayerWeights layers;

  /**
   * @param tensors float32 by the checkpoint's names, in the checkpoint's layout
   */
  public WeightOverrides(
      ModelWeights model,
      ComputeType type,
      PtNDManager parent,
      Map<String, ? extends NDArray> tensors) {
    this.manager = (PtNDManager) parent.newSubManager();
    this.script = model.script();
    this.model = model;
    this.type = type;
    this.replaceable = ReplaceableWeights.of(model.spec());
    this.names = new TreeSet<>(tensors.keySet());
    try {
      this.layers = model.with(replace(model.layers().layers(), tensors));
    } catch (RuntimeException e) {
      manager.close();
      throw e;
    }
  }

  /** The checkpoint's names of the tensors that are replaced or added. */
  public SortedSet<String> names() {
    return new TreeSet<>(names);
  }

  /** Bytes of the tensors. */
  public long bytes() {
    return names.stream()
        .mapToLong(name -> replaceable.shape(name).stream().reduce(1L, (a, b) -> a * b))
        .map(elements -> elements * type.bytes())
        .sum();
  }

  public LayerWeights layers() {
    return layers;
  }

  @Override
  public void close() {
    layers.close();
    manager.close();
  }

  private List<Layer> replace(List<Layer> originals, Map<String, ? extends NDArray> tensors) {
    List<Map<WeightRole, PtNDArray>> weights = new ArrayList<>();
    originals.forEach(layer -> weights.add(new EnumMap<>(WeightRole.class)));
    for (String name : names) {
      NDArray tensor = tensors.get(name);
      requireShape(name, tensor);
      ReplaceableWeights.Slot slot = replaceable.slot(name);
      PtNDArray target =
          weights
              .get(slot.layer())
              .computeIfAbsent(
                  slot.role(), role -> start(originals.get(slot.layer()), slot.layer(), role));
      assign(target, slot, (PtNDArray) tensor);
    }
    List<Layer> replaced = new ArrayList<>();
    for (int layer = 0; layer < originals.size(); layer++) {
      replaced.add(replace(originals.get(layer), layer, weights.get(layer)));
    }
    return replaced;
  }

  private Layer replace(Layer original, int layer, Map<WeightRole, PtNDArray> weights) {
    if (weights.isEmpty()) {
      return original;
    }
    Map<WeightRole, PtNDArray> products = new EnumMap<>(WeightRole.class);
    PtNDArray own = weights.remove(WeightRole.OWN_TOKEN);
    if (own != null) {
      weights.compute(
          WeightRole.OUTPUT,
          (role, output) ->
              widened(output == null ? original.tensor(WeightRole.OUTPUT) : output, own));
    }
    Map<WeightRole, WeightSpec> specs = new EnumMap<>(original.block().weights());
    weights.forEach(
        (role, tensor) -> {
          specs.put(role, replaceable.weight(layer, role));
          products.put(role, model.asProduct(role, tensor, specs));
        });
    BlockSpec block = original.block();
    return new Layer(
        new BlockSpec(
            block.attention(),
            block.feedForward(),
            block.norm(),
            block.placement(),
            block.residualScale(),
            specs),
        () -> {
          List<PtNDArray> tensors = new ArrayList<>(original.tensors());
          products.forEach(
              (role, tensor) -> tensors.set(ModelWeights.LAYER_ROLES.indexOf(role), tensor));
          return tensors;
        });
  }

  /** The columns of an own-token projection behind those of an output projection. */
  private PtNDArray widened(PtNDArray output, PtNDArray own) {
    try (own) {
      return script.run(manager, "beside", output, own);
    }
  }

  /** The checkpoint's weight, zeros for a bias that it lacks: parts that are not named stay. */
  private PtNDArray start(Layer layer, int number, WeightRole role) {
    Shape shape = new Shape(replaceable.weight(number, role).shape());
    PtNDArray target = script.zeros(manager, shape, type);
    if (layer.block().weights().containsKey(role)) {
      script.assign(target, layer.tensor(role));
    }
    return target;
  }

  private void assign(PtNDArray target, ReplaceableWeights.Slot slot, PtNDArray tensor) {
    WeightSpec weight = replaceable.weight(slot.layer(), slot.role());
    long first = 0;
    for (WeightSpec.Part part : weight.parts().subList(0, slot.part())) {
      first += part.shape().get(0);
    }
    WeightSpec.Part part = weight.parts().get(slot.part());
    if (part.layout() instanceof WeightSpec.AsStored) {
      try (PtNDArray rows = JniUtils.slice(target, 0, first, first + tensor.getShape().get(0), 1)) {
        script.assign(rows, tensor);
      }
    } else {
      script.assign(target, tensor, part.layout());
    }
  }

  private void requireShape(String name, NDArray tensor) {
    Shape expected = new Shape(replaceable.shape(name));
    if (!tensor.getShape().equals(expected)) {
      throw new IllegalArgumentException(
          "'%s' in place of the checkpoint's has the shape %s, expected %s."
              .formatted(name, tensor.getShape(), expected));
    }
  }

  /**
   * A refitted projection by the checkpoint's names and in its layout, as overrides take it.
   * Columns of an output projection beyond the checkpoint's are an own-token projection. Of
   * queries, keys and values the queries alone may be given; a tensor that has them and others is
   * filled with the checkpoint's, and a bias counts where the checkpoint has one.
   *
   * @param role of the matrix
   * @param weight float32 [out, in]
   * @param bias float32 [out]
   * @param target owns the result
   */
  public static SortedMap<String, NDArray> stored(
      ModelWeights model,
      int layer,
      WeightRole role,
      PtNDArray weight,
      PtNDArray bias,
      PtNDManager target) {
    ReplaceableWeights replaceable = ReplaceableWeights.of(model.spec());
    SortedMap<String, NDArray> named = new TreeMap<>();
    long inputs = replaceable.weight(layer, role).shape().get(1);
    long columns = weight.getShape().get(1);
    try (PtNDArray matrix = model.script().run(target, "cut", weight, 1, 0, inputs)) {
      named.putAll(parts(model, layer, role, matrix, target));
    }
    if (columns > inputs) {
      String own = replaceable.names(layer, WeightRole.OWN_TOKEN).get(0);
      named.put(own, model.script().run(target, "cut", weight, 1, inputs, columns));
    }
    boolean biased = model.spec().blocks().get(layer).weights().containsKey(role.bias());
    if (biased || role != WeightRole.QUERY_KEY_VALUE) {
      named.putAll(parts(model, layer, role.bias(), bias, target));
    }
    return named;
  }

  /** The parts of a weight, as far as the leading rows given reach. */
  private static Map<String, NDArray> parts(
      ModelWeights model, int layer, WeightRole role, PtNDArray leading, PtNDManager target) {
    Map<String, NDArray> named = new HashMap<>();
    ScriptModule script = model.script();
    long given = leading.getShape().get(0);
    long row = 0;
    for (WeightSpec.Part part : ReplaceableWeights.of(model.spec()).weight(layer, role).parts()) {
      boolean transposed = part.layout() instanceof WeightSpec.Transposed;
      long end = row + part.shape().get(transposed ? 1 : 0);
      if (row < given) {
        PtNDArray rows = script.run(target, "cut", leading, 0, row, Math.min(end, given));
        if (end > given) {
          try (PtNDArray first = rows;
              PtNDArray all = model.weight(layer, role, target);
              PtNDArray rest = script.run(target, "cut", all, 0, given, end)) {
            rows = (PtNDArray) first.concat(rest, 0);
          }
        }
        named.put(part.tensor(), inLayout(script, rows, part.layout()));
      }
      row = end;
    }
    return named;
  }

  /** [out, in] as the checkpoint has it; closes what it is given. */
  private static PtNDArray inLayout(
      ScriptModule script, PtNDArray tensor, WeightSpec.Layout layout) {
    if (layout instanceof WeightSpec.Transposed) {
      try (tensor;
          NDArray turned = tensor.transpose()) {
        return (PtNDArray) turned.duplicate();
      }
    }
    if (layout instanceof WeightSpec.Grouped grouped) {
      try (tensor) {
        return script.run(
            tensor.getManager(), "regrouped", tensor, grouped.groups(), grouped.queries());
      }
    }
    return tensor;
  }
}
