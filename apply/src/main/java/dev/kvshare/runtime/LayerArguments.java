package dev.kvshare.runtime;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.model.family.AttentionSpec;
import dev.kvshare.model.family.BlockSpec;
import dev.kvshare.model.family.RotarySpec;
import dev.kvshare.model.family.WeightRole;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.policy.SharingPlan;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.stream.Stream;

/** The tensors and ints of every layer as {@code decoder.py} takes them. */
final class LayerArguments implements AutoCloseable {
  private final List<Layer> layers;
  private final ScriptModule script;
  private final IValue[] lists;
  private final IValue[] readerLists;
  private final List<PtNDArray> queryRows = new ArrayList<>();
  private final IValue weights;
  private final LayerNumbers numbers;

  /**
   * One layer.
   *
   * @param block what it computes; its biases are the ones that are used
   * @param tensors in the order of {@link ScriptArguments#LAYER_ROLES}
   */
  record Layer(BlockSpec block, List<PtNDArray> tensors) {
    Layer {
      tensors = List.copyOf(tensors);
    }

    /** The tensor of a role; an empty one where the layer has none. */
    PtNDArray tensor(WeightRole role) {
      return tensors.get(ScriptArguments.LAYER_ROLES.indexOf(role));
    }
  }

  /**
   * @param rotaryKinds the distinct rotary embeddings in the order of their numbers
   */
  LayerArguments(List<Layer> layers, List<RotarySpec> rotaryKinds, ScriptModule script) {
    this.layers = List.copyOf(layers);
    this.script = script;
    this.lists =
        layers.stream().map(layer -> script.passed(layer.tensors())).toArray(IValue[]::new);
    this.readerLists = new IValue[lists.length];
    this.weights = IValue.listFrom(lists);
    this.numbers = new LayerNumbers(blocks(), rotaryKinds, SharingPlan.identity(layers.size()));
  }

  List<Layer> layers() {
    return layers;
  }

  /** What the layers compute. */
  List<BlockSpec> blocks() {
    return layers.stream().map(Layer::block).toList();
  }

  /** Tensors of each layer. */
  IValue weights() {
    return weights;
  }

  /**
   * Tensors of each layer under a map: layers that keep no keys and values of their own have the
   * rows of the queries alone, made when the first map asks for them. The caller closes the list.
   */
  IValue weights(SharingMap map) {
    IValue[] chosen = new IValue[lists.length];
    for (int layer = 0; layer < chosen.length; layer++) {
      chosen[layer] = map.ownsCache(layer) ? lists[layer] : readerList(layer);
    }
    return IValue.listFrom(chosen);
  }

  private IValue readerList(int number) {
    if (readerLists[number] == null) {
      Layer layer = layers.get(number);
      AttentionSpec attention = layer.block().attention();
      List<PtNDArray> tensors = new ArrayList<>(layer.tensors());
      int slot = ScriptArguments.LAYER_ROLES.indexOf(WeightRole.QUERY_KEY_VALUE);
      long rows = (long) attention.queryHeads() * attention.headSize();
      PtNDArray queries = script.leadingRows(tensors.get(slot), rows);
      queryRows.add(queries);
      tensors.set(slot, queries);
      readerLists[number] = script.passed(tensors);
    }
    return readerLists[number];
  }

  /** Ints of each layer where nothing but the model sets windows. */
  LayerNumbers numbers() {
    return numbers;
  }

  @Override
  public void close() {
    weights.close();
    for (IValue list : lists) {
      list.close();
    }
    Stream.of(readerLists).filter(Objects::nonNull).forEach(IValue::close);
    queryRows.forEach(PtNDArray::close);
    numbers.close();
  }

  /** One list of what each entry becomes. */
  static <T> IValue nested(List<T> entries, Function<T, IValue> toList) {
    IValue[] lists = entries.stream().map(toList).toArray(IValue[]::new);
    IValue nested = IValue.listFrom(lists);
    for (IValue list : lists) {
      list.close();
    }
    return nested;
  }
}
