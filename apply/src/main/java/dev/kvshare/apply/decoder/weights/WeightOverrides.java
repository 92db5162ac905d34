package dev.kvshare.apply.decoder.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.decoder.ComputeType;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.script.LayerArguments;
import dev.kvshare.apply.decoder.script.LayerArguments.Layer;
import dev.kvshare.apply.decoder.script.ScriptArguments;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * Weights in place of a checkpoint's, for the caches that are made with them. Made by {@link
 * Decoder#newOverrides}; closed by whoever asked for them, after those caches. The checkpoint's own
 * tensors are not copied.
 */
public final class WeightOverrides implements AutoCloseable {
  private final PtNDManager manager;
  private final ScriptModule script;
  private final ComputeType type;
  private final ScriptArguments model;
  private final ReplaceableWeights replaceable;
  private final SortedSet<String> names;
  private final LayerArguments layers;

  /**
   * @param tensors float32 by the checkpoint's names, in the checkpoint's layout
   */
  public WeightOverrides(
      KvCache.Storage storage, ScriptArguments model, Map<String, ? extends NDArray> tensors) {
    this.manager = (PtNDManager) storage.parent().newSubManager();
    this.script = storage.script();
    this.model = model;
    this.type = storage.type();
    this.replaceable = ReplaceableWeights.of(storage.spec());
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

  public LayerArguments layers() {
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
              (role, tensor) -> tensors.set(ScriptArguments.LAYER_ROLES.indexOf(role), tensor));
          return tensors;
        });
  }

  /** The columns of an own-token projection behind those of an output projection. */
  private PtNDArray widened(PtNDArray output, PtNDArray own) {
    try (own;
        IValue left = IValue.from(output);
        IValue right = IValue.from(own)) {
      return script.run(manager, "beside", left, right);
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
    if (part.layout() instanceof WeightSpec.Transposed) {
      script.assignTransposed(target, tensor);
    } else if (part.layout() instanceof WeightSpec.Grouped grouped) {
      script.assignUngrouped(target, tensor, grouped.groups(), grouped.queries());
    } else {
      try (PtNDArray rows = JniUtils.slice(target, 0, first, first + tensor.getShape().get(0), 1)) {
        script.assign(rows, tensor);
      }
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
}
