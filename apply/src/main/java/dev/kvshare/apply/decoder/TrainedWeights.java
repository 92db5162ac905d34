package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.GradientCall;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.ReplaceableWeights;
import dev.kvshare.apply.decoder.weights.StoredWeights;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightRole;
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
  private final StoredWeights stored;
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
    this.stored = new StoredWeights(script, ReplaceableWeights.of(spec));
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
        stored.putOutput(named, entry.layer(), tensors.get(index), target);
      } else if (zero && entry.rest() != null) {
        try (PtNDArray none = (PtNDArray) entry.rest().zerosLike()) {
          stored.putLeading(named, entry.layer(), entry.role(), tensors.get(index), none, target);
        }
      } else {
        stored.putLeading(
            named, entry.layer(), entry.role(), tensors.get(index), entry.rest(), target);
      }
    }
    return named;
  }

  private static IValue list(List<PtNDArray> tensors) {
    return IValue.listFrom(tensors.toArray(PtNDArray[]::new));
  }
}
