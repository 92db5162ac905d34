package dev.kvshare.runtime;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.model.family.BlockSpec;
import java.util.List;
import java.util.function.Function;

/** The tensors and ints of every layer as {@code decoder.py} takes them. */
final class LayerArguments implements AutoCloseable {
  private final List<Layer> layers;
  private final IValue weights;
  private final IValue ints;

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
   * @param ints the numbers of one layer
   */
  LayerArguments(List<Layer> layers, Function<BlockSpec, IValue> ints) {
    this.layers = List.copyOf(layers);
    this.weights = nested(layers, layer -> list(layer.tensors()));
    this.ints = nested(layers, layer -> ints.apply(layer.block()));
  }

  List<Layer> layers() {
    return layers;
  }

  /** Tensors of each layer. */
  IValue weights() {
    return weights;
  }

  /** Ints of each layer. */
  IValue ints() {
    return ints;
  }

  @Override
  public void close() {
    weights.close();
    ints.close();
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
