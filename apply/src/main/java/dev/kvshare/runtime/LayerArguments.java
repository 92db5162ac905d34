package dev.kvshare.runtime;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.model.family.BlockSpec;
import dev.kvshare.model.family.RotarySpec;
import dev.kvshare.policy.SharingPlan;
import java.util.List;
import java.util.function.Function;

/** The tensors and ints of every layer as {@code decoder.py} takes them. */
final class LayerArguments implements AutoCloseable {
  private final List<Layer> layers;
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
  }

  /**
   * @param rotaryKinds the distinct rotary embeddings in the order of their numbers
   */
  LayerArguments(List<Layer> layers, List<RotarySpec> rotaryKinds) {
    this.layers = List.copyOf(layers);
    this.weights = nested(layers, layer -> list(layer.tensors()));
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

  /** Ints of each layer where nothing but the model sets windows. */
  LayerNumbers numbers() {
    return numbers;
  }

  @Override
  public void close() {
    weights.close();
    numbers.close();
  }

  static IValue list(List<PtNDArray> tensors) {
    return IValue.listFrom(tensors.toArray(PtNDArray[]::new));
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
