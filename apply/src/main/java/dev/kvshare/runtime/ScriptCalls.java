package dev.kvshare.runtime;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;

/**
 * The entry points of {@code decoder.py}, one native call each. The result belongs to the manager
 * of the tensor given first.
 */
final class ScriptCalls {
  private final ScriptModule script;
  private final ScriptArguments model;
  private final RotaryTables rotary;
  private long layerPositions;

  ScriptCalls(ScriptModule script, ScriptArguments model, RotaryTables rotary) {
    this.script = script;
    this.model = model;
    this.rotary = rotary;
  }

  /** Positions times layers that were run so far. */
  long layerPositions() {
    return layerPositions;
  }

  /** ids int64 [B, T] to [B, T, E]. */
  PtNDArray embed(PtNDArray ids, KvCache cache, int start) {
    return embed(ids, cache.firstArgument(), start);
  }

  /** As {@link #embed(PtNDArray, KvCache, int)}. */
  PtNDArray embed(PtNDArray ids, CompressedCache cache, int start) {
    return embed(ids, cache.arguments().first(), start);
  }

  private PtNDArray embed(PtNDArray ids, IValue first, int start) {
    try (IValue input = IValue.from(ids);
        IValue position = IValue.from((long) start)) {
      return script.run(
          ids.getManager(),
          "embed",
          input,
          position,
          first,
          model.model(),
          model.modelInts(),
          model.modelFloats());
    }
  }

  /**
   * Layers {@code from} to {@code to - 1} over a compressed cache: [B, T, E] to [B, T, E].
   *
   * @param written tokens behind {@code cache.length()} that are in the cache when layers read it
   */
  PtNDArray compressedLayers(
      PtNDArray hidden, CompressedCache cache, int start, int from, int to, int written) {
    layerPositions += hidden.getShape().get(1) * (to - from);
    CacheArguments arguments = cache.arguments();
    try (IValue input = IValue.from(hidden);
        IValue low = IValue.from((long) from);
        IValue high = IValue.from((long) to);
        IValue position = IValue.from((long) start);
        IValue slots = cache.bySource(LayerStore::nextSlot);
        IValue counts = cache.bySource(store -> store.filledAfter(written));
        IValue origin = IValue.from((long) cache.origin());
        IValue reach = IValue.from((long) cache.plan().reach())) {
      return script.run(
          hidden.getManager(),
          "compressed_layers",
          input,
          low,
          high,
          position,
          arguments.first(),
          arguments.weights(),
          arguments.numbers().ints(),
          model.floats(),
          arguments.states(),
          arguments.rules(),
          arguments.owns(),
          slots,
          counts,
          origin,
          reach,
          rotary.cosines(),
          rotary.sines());
    }
  }

  /** Layers {@code from} to {@code to - 1}: [B, T, E] to [B, T, E]. */
  PtNDArray layers(PtNDArray hidden, KvCache cache, int start, int from, int to) {
    layerPositions += hidden.getShape().get(1) * (to - from);
    try (IValue input = IValue.from(hidden);
        IValue low = IValue.from((long) from);
        IValue high = IValue.from((long) to);
        IValue position = IValue.from((long) start)) {
      return script.run(
          hidden.getManager(),
          "layers",
          input,
          low,
          high,
          position,
          cache.firstArgument(),
          cache.weights(),
          cache.numbers().ints(),
          model.floats(),
          cache.numbers().kinds(),
          cache.keyArguments(),
          cache.valueArguments(),
          cache.ownsArgument(),
          rotary.cosines(),
          rotary.sines());
    }
  }

  /**
   * Writes the keys and values of one layer for hidden [B, T, E].
   *
   * @return the last position of hidden [B, 1, E]
   */
  PtNDArray fill(PtNDArray hidden, KvCache cache, int start, int layer) {
    try (IValue input = IValue.from(hidden);
        IValue number = IValue.from((long) layer);
        IValue reader = IValue.from((long) cache.readerOf(layer));
        IValue position = IValue.from((long) start)) {
      return script.run(
          hidden.getManager(),
          "fill",
          input,
          number,
          reader,
          position,
          cache.firstArgument(),
          cache.weights(),
          cache.numbers().ints(),
          model.floats(),
          cache.keyArguments(),
          cache.valueArguments(),
          rotary.cosines(),
          rotary.sines());
    }
  }

  /**
   * How much the states [B, T, E] of one token at most differ from what they were, relative to
   * their length.
   */
  double change(PtNDArray hidden, PtNDArray before) {
    try (IValue now = IValue.from(hidden);
        IValue then = IValue.from(before);
        PtNDArray change = script.run(hidden.getManager(), "change", now, then)) {
      return change.getFloat();
    }
  }

  /** Zeros of the shape of hidden [B, T, E]. */
  PtNDArray zerosLike(PtNDArray hidden) {
    try (IValue like = IValue.from(hidden)) {
      return script.run(hidden.getManager(), "zeros_like", like);
    }
  }

  /** Copies one position [B, 1, E] into hidden [B, T, E]. */
  void put(PtNDArray hidden, PtNDArray one, int position) {
    try (IValue target = IValue.from(hidden);
        IValue source = IValue.from(one);
        IValue number = IValue.from((long) position)) {
      script.run(hidden.getManager(), "put", target, source, number).close();
    }
  }

  /** {@code final_norm} or {@code head}: [B, T, E] to [B, T, E] or [B, T, V]. */
  PtNDArray onHidden(String method, PtNDArray hidden) {
    try (IValue input = IValue.from(hidden)) {
      return script.run(
          hidden.getManager(),
          method,
          input,
          model.model(),
          model.modelInts(),
          model.modelFloats());
    }
  }

  /** Two hidden states [B, T, E] and the following tokens int64 [B, T] to float64 [6]. */
  PtNDArray divergence(PtNDArray reference, PtNDArray hidden, PtNDArray targets) {
    try (IValue expected = IValue.from(reference);
        IValue actual = IValue.from(hidden);
        IValue following = IValue.from(targets)) {
      return script.run(
          reference.getManager(),
          "divergence",
          expected,
          actual,
          following,
          model.model(),
          model.modelInts(),
          model.modelFloats());
    }
  }

  /** {@code forward} or {@code decode}: the whole model from ids to logits. */
  PtNDArray whole(String method, PtNDArray ids, KvCache cache, int start) {
    int tokens = (int) (ids.getShape().size() / cache.batch());
    layerPositions += (long) tokens * cache.map().layers();
    try (IValue input = IValue.from(ids);
        IValue position = IValue.from((long) start)) {
      return script.run(
          ids.getManager(),
          method,
          input,
          position,
          cache.firstArgument(),
          model.model(),
          model.modelInts(),
          model.modelFloats(),
          cache.weights(),
          cache.numbers().ints(),
          model.floats(),
          cache.numbers().kinds(),
          cache.keyArguments(),
          cache.valueArguments(),
          cache.ownsArgument(),
          rotary.cosines(),
          rotary.sines());
    }
  }
}
