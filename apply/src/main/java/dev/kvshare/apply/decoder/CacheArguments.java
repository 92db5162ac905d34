package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.KeepRule;
import dev.kvshare.apply.decoder.script.ScriptNumbers;
import dev.kvshare.apply.decoder.weights.LayerWeights;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.Arrays;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/** A compressed cache as {@code compressed.py} takes it. */
final class CacheArguments implements AutoCloseable {
  private final SharingMap map;
  private final LayerWeights layers;
  private final IValue weights;
  private final ScriptNumbers numbers;
  private final boolean ownNumbers;
  private final IValue owns;
  private final IValue reads;
  private final int padding;
  private final IValue first;
  private IValue states;
  private IValue rules;

  /**
   * @param manager owns the tensors
   * @param columns the first real column of each row; empty when nothing is padded
   */
  CacheArguments(
      KvCache.Storage storage, CacheOptions options, PtNDManager manager, long[] columns) {
    Plan sharing = options.plan();
    this.map = sharing.map();
    this.layers =
        options.overrides() == null ? storage.weights().layers() : options.overrides().layers();
    this.weights = layers.weights(map);
    this.ownNumbers = !sharing.isPlain();
    this.numbers = layers.numbers(sharing);
    long[] flags = new long[map.layers()];
    map.owners().forEach(owner -> flags[owner] = 1);
    this.owns = IValue.listFrom(flags);
    this.reads = IValue.listFrom(new long[map.layers()]);
    this.padding = (int) Arrays.stream(columns).max().orElse(0);
    this.first = IValue.from((PtNDArray) manager.create(columns, new Shape(columns.length)));
  }

  /**
   * Takes over tensors and rules that have changed.
   *
   * @param stores of the owning layers
   * @param promptTokens where observation of the last queries of a prompt ends
   * @param promptRead whether the prompt is behind
   */
  void refresh(
      Map<Integer, LayerStore> stores, CachePlan plan, int promptTokens, boolean promptRead) {
    closeStores();
    states = byLayer(layer -> stores.get(map.source(layer)).state());
    rules = byLayer(layer -> rule(plan, layer, promptTokens, promptRead));
  }

  /** The rule of what {@code layer} reads, and what it sees of it; the caller closes it. */
  static IValue rule(CachePlan plan, int layer, int promptTokens, boolean promptRead) {
    KeepRule rule = plan.rule(layer);
    boolean byChannel = plan.format() == KeyValueFormat.INT8_PER_CHANNEL;
    boolean observed = plan.scored(layer, promptRead);
    return IValue.listFrom(
        rule.sinks(),
        rule.recent(),
        plan.seen(layer).last(),
        rule.cachePositions() ? plan.reach() : 0,
        observed ? Math.max(0L, (long) promptTokens - rule.observation().lastQueries()) : -1,
        ScriptNumbers.flag(rule.observation().averaged()),
        rule.observation().pooling(),
        plan.window(layer).last(),
        byChannel ? KeyValueFormat.GROUP : 0,
        plan.window(layer).first(),
        plan.seen(layer).first());
  }

  /** Brings the tensors of a layer into memory, where not all are. */
  void enter(int layer) {
    layers.enter(layer, map);
  }

  IValue weights() {
    return weights;
  }

  ScriptNumbers numbers() {
    return numbers;
  }

  /** For each layer 1 if it writes keys and values, else 0. */
  IValue owns() {
    return owns;
  }

  /** int64 [B] or [0]. */
  IValue first() {
    return first;
  }

  /** For each layer 0, as {@link #owns()}: nothing is written. */
  IValue reads() {
    return reads;
  }

  /** Columns of padding before the shortest row. */
  int padding() {
    return padding;
  }

  /** For each layer the state that it reads. */
  IValue states() {
    return states;
  }

  /** For each layer the rule of the state that it reads, with its own window. */
  IValue rules() {
    return rules;
  }

  @Override
  public void close() {
    closeStores();
    owns.close();
    reads.close();
    first.close();
    weights.close();
    if (ownNumbers) {
      numbers.close();
    }
  }

  private void closeStores() {
    if (states != null) {
      states.close();
      rules.close();
    }
  }

  private IValue byLayer(IntFunction<IValue> list) {
    return ScriptNumbers.nested(IntStream.range(0, map.layers()).boxed().toList(), list::apply);
  }
}
