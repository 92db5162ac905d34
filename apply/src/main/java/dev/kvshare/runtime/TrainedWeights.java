package dev.kvshare.runtime;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.model.family.WeightRole;
import dev.kvshare.model.family.WeightSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The weights that a {@link Distillation} changes, in float32, with their gradients and the running
 * averages of Adam: 16 bytes a number. Letters: E hidden size, Hq query heads, D head size.
 */
final class TrainedWeights implements AutoCloseable {
  private final ScriptModule script;
  private final ReplaceableWeights replaceable;
  private final PtNDManager manager;
  private final List<Entry> entries = new ArrayList<>();
  private final List<PtNDArray> weights = new ArrayList<>();
  private final List<PtNDArray> gradients = new ArrayList<>();
  private final List<PtNDArray> means = new ArrayList<>();
  private final List<PtNDArray> squares = new ArrayList<>();
  private int steps;

  /**
   * One weight.
   *
   * @param layer the layer
   * @param role what it is
   * @param rest the rows of queries, keys and values that are not trained, null for none
   */
  private record Entry(int layer, WeightRole role, PtNDArray rest) {}

  TrainedWeights(ScriptModule script, ModelSpec spec, PtNDManager parent) {
    this.script = script;
    this.replaceable = ReplaceableWeights.of(spec);
    this.manager = (PtNDManager) parent.newSubManager();
  }

  /**
   * Adds a weight.
   *
   * @param weight float32, its leading rows, made with autograd
   * @param rest the other rows, null for none
   */
  void add(int layer, WeightRole role, PtNDArray weight, PtNDArray rest) {
    weight.attach(manager);
    if (rest != null) {
      rest.attach(manager);
    }
    entries.add(new Entry(layer, role, rest));
    weights.add(weight);
    try (PtNDManager scratch = (PtNDManager) manager.newSubManager()) {
      for (List<PtNDArray> state : List.of(gradients, means, squares)) {
        state.add(script.run(manager, new GradientCall(scratch, "zeros_like").with(weight)));
      }
    }
  }

  boolean isEmpty() {
    return entries.isEmpty();
  }

  /** float32, in the order in which they were added. */
  List<PtNDArray> weights() {
    return weights;
  }

  /** Their gradients, float32. */
  List<PtNDArray> gradients() {
    return gradients;
  }

  /** As {@link Distillation#step}. */
  double step(double rate) {
    steps++;
    try (IValue trained = list(weights);
        IValue slopes = list(gradients);
        IValue first = list(means);
        IValue second = list(squares);
        IValue length = IValue.from(rate);
        IValue number = IValue.from((long) steps);
        PtNDArray norm =
            script.run(manager, "adam", trained, slopes, first, second, length, number)) {
      return norm.getDouble();
    }
  }

  /** The weights by the checkpoint's names and in its layout. */
  SortedMap<String, NDArray> weights(NDManager target) {
    return named(weights, false, (PtNDManager) target);
  }

  /** The gradients, 0 in rows that are not trained. */
  SortedMap<String, NDArray> gradients(NDManager target) {
    return named(gradients, true, (PtNDManager) target);
  }

  @Override
  public void close() {
    manager.close();
  }

  /**
   * @param zero whether rows that are not trained are 0 instead of the weight's
   */
  private SortedMap<String, NDArray> named(
      List<PtNDArray> tensors, boolean zero, PtNDManager target) {
    SortedMap<String, NDArray> named = new TreeMap<>();
    for (int index = 0; index < entries.size(); index++) {
      Entry entry = entries.get(index);
      if (entry.role() == WeightRole.OUTPUT) {
        putOutput(named, entry, tensors.get(index), target);
      } else if (zero && entry.rest() != null) {
        try (PtNDArray none = (PtNDArray) entry.rest().zerosLike()) {
          putParts(named, entry, tensors.get(index), none, target);
        }
      } else {
        putParts(named, entry, tensors.get(index), entry.rest(), target);
      }
    }
    return named;
  }

  /** An own-token projection is the columns behind those of the output projection. */
  private void putOutput(
      SortedMap<String, NDArray> named, Entry entry, PtNDArray tensor, PtNDManager target) {
    WeightSpec.Part part = replaceable.weight(entry.layer(), entry.role()).parts().get(0);
    long inputs = replaceable.weight(entry.layer(), entry.role()).shape().get(1);
    long columns = tensor.getShape().get(1);
    named.put(part.tensor(), stored(cut(tensor, 1, 0, inputs, target), part));
    if (columns > inputs) {
      named.put(
          replaceable.names(entry.layer(), WeightRole.OWN_TOKEN).get(0),
          cut(tensor, 1, inputs, columns, target));
    }
  }

  private void putParts(
      SortedMap<String, NDArray> named,
      Entry entry,
      PtNDArray tensor,
      PtNDArray rest,
      PtNDManager target) {
    long trained = tensor.getShape().get(0);
    long row = 0;
    for (WeightSpec.Part part : replaceable.weight(entry.layer(), entry.role()).parts()) {
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

  private static IValue list(List<PtNDArray> tensors) {
    return IValue.listFrom(tensors.toArray(PtNDArray[]::new));
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
