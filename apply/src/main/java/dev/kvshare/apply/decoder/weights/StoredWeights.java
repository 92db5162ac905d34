package dev.kvshare.apply.decoder.weights;

import ai.djl.ndarray.NDArray;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;
import java.util.SortedMap;

/** Gives weights back by the names and in the layout of a checkpoint. */
public record StoredWeights(ScriptModule script, ReplaceableWeights replaceable) {

  /**
   * The tensors that a weight is put together from, as far as its leading rows reach.
   *
   * @param tensor float32, the leading rows
   * @param rest the rows behind them, null where no tensor has both
   */
  public void putLeading(
      SortedMap<String, NDArray> named,
      int layer,
      WeightRole role,
      PtNDArray tensor,
      PtNDArray rest,
      PtNDManager target) {
    long trained = tensor.getShape().get(0);
    long row = 0;
    for (WeightSpec.Part part : replaceable.weight(layer, role).parts()) {
      boolean transposed = part.layout() instanceof WeightSpec.Transposed;
      long end = row + part.shape().get(transposed ? 1 : 0);
      if (row < trained) {
        named.put(part.tensor(), stored(rows(tensor, rest, row, end, target), part));
      }
      row = end;
    }
  }

  /** Rows of a tensor and what is not trained of it. */
  private PtNDArray rows(
      PtNDArray tensor, PtNDArray rest, long low, long high, PtNDManager target) {
    long trained = tensor.getShape().get(0);
    if (high <= trained) {
      return cut(tensor, 0, low, high, target);
    }
    try (PtNDArray leading = cut(tensor, 0, low, trained, target);
        PtNDArray others = cut(rest, 0, 0, high - trained, target)) {
      return (PtNDArray) leading.concat(others, 0);
    }
  }

  /** [out, in] as the checkpoint has it; closes what it is given. */
  private PtNDArray stored(PtNDArray tensor, WeightSpec.Part part) {
    PtNDManager target = tensor.getManager();
    if (part.layout() instanceof WeightSpec.Transposed) {
      try (tensor;
          NDArray turned = tensor.transpose()) {
        return (PtNDArray) turned.duplicate();
      }
    }
    if (part.layout() instanceof WeightSpec.Grouped grouped) {
      try (tensor;
          IValue input = IValue.from(tensor);
          IValue groups = IValue.from((long) grouped.groups());
          IValue queries = IValue.from((long) grouped.queries())) {
        return script.run(target, "regrouped", input, groups, queries);
      }
    }
    return tensor;
  }

  private PtNDArray cut(PtNDArray tensor, long axis, long low, long high, PtNDManager target) {
    try (IValue input = IValue.from(tensor);
        IValue dimension = IValue.from(axis);
        IValue from = IValue.from(low);
        IValue to = IValue.from(high)) {
      return script.run(target, "cut", input, dimension, from, to);
    }
  }
}
