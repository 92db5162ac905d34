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

  ScriptCalls(ScriptModule script, ScriptArguments model, RotaryTables rotary) {
    this.script = script;
    this.model = model;
    this.rotary = rotary;
  }

  /** ids int64 [B, T] to [B, T, E]. */
  PtNDArray embed(PtNDArray ids, KvCache cache, int start) {
    try (IValue input = IValue.from(ids);
        IValue position = IValue.from((long) start)) {
      return script.run(
          ids.getManager(),
          "embed",
          input,
          position,
          cache.firstArgument(),
          model.model(),
          model.modelInts(),
          model.modelFloats());
    }
  }

  /** Layers {@code from} to {@code to - 1}: [B, T, E] to [B, T, E]. */
  PtNDArray layers(PtNDArray hidden, KvCache cache, int start, int from, int to) {
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
          layers(cache).weights(),
          layers(cache).ints(),
          model.floats(),
          model.kinds(),
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
        IValue position = IValue.from((long) start)) {
      return script.run(
          hidden.getManager(),
          "fill",
          input,
          number,
          position,
          cache.firstArgument(),
          layers(cache).weights(),
          layers(cache).ints(),
          model.floats(),
          cache.keyArguments(),
          cache.valueArguments(),
          rotary.cosines(),
          rotary.sines());
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

  /** {@code forward} or {@code decode}: the whole model from ids to logits. */
  PtNDArray whole(String method, PtNDArray ids, KvCache cache, int start) {
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
          layers(cache).weights(),
          layers(cache).ints(),
          model.floats(),
          model.kinds(),
          cache.keyArguments(),
          cache.valueArguments(),
          cache.ownsArgument(),
          rotary.cosines(),
          rotary.sines());
    }
  }

  private LayerArguments layers(KvCache cache) {
    return cache.overrides() == null ? model.layers() : cache.overrides().layers();
  }
}
