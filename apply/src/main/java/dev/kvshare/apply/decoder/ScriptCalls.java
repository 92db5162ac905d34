package dev.kvshare.apply.decoder;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.ModelWeights;
import dev.kvshare.apply.decoder.weights.ModelWeights.EmbeddedTokens;
import java.util.function.IntConsumer;

/**
 * The entry points of {@code decoder.py}, one native call each. The result belongs to the manager
 * of the tensor given first.
 */
final class ScriptCalls {
  private final ScriptModule script;
  private final ModelWeights model;
  private final RotaryTables rotary;
  private long layerPositions;

  ScriptCalls(ScriptModule script, ModelWeights model, RotaryTables rotary) {
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
    if (!model.isOffloaded()) {
      return embed(ids, ids, model.model(), first, start);
    }
    try (EmbeddedTokens tokens = model.embedding(ids)) {
      return embed(ids, tokens.rows(), tokens.model(), first, start);
    }
  }

  private PtNDArray embed(PtNDArray ids, PtNDArray rows, IValue outer, IValue first, int start) {
    return script.run(
        ids.getManager(),
        "embed",
        rows,
        start,
        first,
        outer,
        model.modelInts(),
        model.modelFloats());
  }

  /** Some layers of a range. */
  @FunctionalInterface
  private interface LayerRun {
    PtNDArray run(PtNDArray hidden, int from, int to);
  }

  /**
   * A range of layers at once, or one by one where they come into memory one by one.
   *
   * @param enter brings one into memory
   */
  private PtNDArray inTurn(PtNDArray hidden, int from, int to, IntConsumer enter, LayerRun layers) {
    if (!model.isOffloaded() || from == to) {
      return layers.run(hidden, from, to);
    }
    PtNDArray current = hidden;
    for (int layer = from; layer < to; layer++) {
      enter.accept(layer);
      PtNDArray next = layers.run(current, layer, layer + 1);
      if (layer > from) {
        current.close();
      }
      current = next;
    }
    return current;
  }

  /**
   * Layers {@code from} to {@code to - 1} over a compressed cache: [B, T, E] to [B, T, E]. Those
   * that own a cache write the new tokens.
   */
  PtNDArray compressedLayers(PtNDArray hidden, CompressedCache cache, int from, int to) {
    int tokens = (int) hidden.getShape().get(1);
    IValue owns = cache.arguments().owns();
    return compressedLayers(hidden, cache, new NewTokens(cache.length(), tokens, owns), from, to);
  }

  /**
   * The same for the last of {@code written} new tokens, [B, 1, E], which are in the cache already.
   */
  PtNDArray compressedLast(PtNDArray hidden, CompressedCache cache, int from, int to, int written) {
    int start = cache.length() + written - 1;
    IValue owns = cache.arguments().reads();
    return compressedLayers(hidden, cache, new NewTokens(start, written, owns), from, to);
  }

  /**
   * What is run of new tokens.
   *
   * @param start column of the first that is run
   * @param written how many of them are in the cache when layers read it
   * @param owns for each layer 1 if it writes them
   */
  private record NewTokens(int start, int written, IValue owns) {}

  private PtNDArray compressedLayers(
      PtNDArray hidden, CompressedCache cache, NewTokens tokens, int from, int to) {
    layerPositions += hidden.getShape().get(1) * (to - from);
    return inTurn(
        hidden,
        from,
        to,
        cache.arguments()::enter,
        (x, low, high) -> compressed(x, cache, tokens, low, high));
  }

  private PtNDArray compressed(
      PtNDArray hidden, CompressedCache cache, NewTokens tokens, int from, int to) {
    CacheArguments arguments = cache.arguments();
    try (IValue slots = cache.bySource(LayerStore::nextSlot);
        IValue counts = cache.bySource(store -> store.filledAfter(tokens.written()));
        IValue alike = cache.alike();
        IValue inOrder = cache.inOrder()) {
      return script.run(
          hidden.getManager(),
          "compressed_layers",
          hidden,
          from,
          to,
          tokens.start(),
          arguments.first(),
          arguments.weights(),
          arguments.numbers().ints(),
          model.floats(),
          arguments.states(),
          arguments.rules(),
          tokens.owns(),
          slots,
          counts,
          alike,
          inOrder,
          cache.origin(),
          cache.plan().reach(),
          rotary.cosines(),
          rotary.sines());
    }
  }

  /** As {@link #fill(PtNDArray, KvCache, int, int)} behind the tokens of a compressed cache. */
  PtNDArray fill(PtNDArray hidden, CompressedCache cache, int layer) {
    CacheArguments arguments = cache.arguments();
    arguments.enter(layer);
    try (IValue slots = cache.bySource(LayerStore::nextSlot)) {
      return script.run(
          hidden.getManager(),
          "compressed_fill",
          hidden,
          layer,
          cache.length(),
          arguments.first(),
          arguments.weights(),
          arguments.numbers().ints(),
          model.floats(),
          arguments.states(),
          arguments.rules(),
          slots,
          cache.origin(),
          rotary.cosines(),
          rotary.sines());
    }
  }

  /** Layers {@code from} to {@code to - 1}: [B, T, E] to [B, T, E]. */
  PtNDArray layers(PtNDArray hidden, KvCache cache, int start, int from, int to) {
    layerPositions += hidden.getShape().get(1) * (to - from);
    return inTurn(
        hidden, from, to, cache::enter, (x, low, high) -> plain(x, cache, start, low, high));
  }

  private PtNDArray plain(PtNDArray hidden, KvCache cache, int start, int from, int to) {
    return script.run(
        hidden.getManager(),
        "layers",
        hidden,
        from,
        to,
        start,
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

  /**
   * Writes the keys and values of one layer for hidden [B, T, E].
   *
   * @return the last position of hidden [B, 1, E]
   */
  PtNDArray fill(PtNDArray hidden, KvCache cache, int start, int layer) {
    cache.enter(layer);
    return script.run(
        hidden.getManager(),
        "fill",
        hidden,
        layer,
        cache.readerOf(layer),
        start,
        cache.firstArgument(),
        cache.weights(),
        cache.numbers().ints(),
        model.floats(),
        cache.keyArguments(),
        cache.valueArguments(),
        rotary.cosines(),
        rotary.sines());
  }

  /** Zeros of the shape of hidden [B, T, E]. */
  PtNDArray zerosLike(PtNDArray hidden) {
    return script.run(hidden.getManager(), "zeros_like", hidden);
  }

  /** Copies one position [B, 1, E] into hidden [B, T, E]. */
  void put(PtNDArray hidden, PtNDArray one, int position) {
    script.run(hidden.getManager(), "put", hidden, one, position).close();
  }

  /** The final norm: [B, T, E] to float32 [B, T, E]. */
  PtNDArray finalNorm(PtNDArray hidden) {
    return onHidden("final_norm", hidden, model.model());
  }

  /** The final norm and the output head: [B, T, E] to float32 [B, T, V]. */
  PtNDArray head(PtNDArray hidden) {
    return onHidden("head", hidden, model.modelWithHead());
  }

  private PtNDArray onHidden(String method, PtNDArray hidden, IValue outer) {
    return script.run(
        hidden.getManager(), method, hidden, outer, model.modelInts(), model.modelFloats());
  }

  /** Two hidden states [B, T, E] and the following tokens int64 [B, T] to float64 [6]. */
  PtNDArray divergence(PtNDArray reference, PtNDArray hidden, PtNDArray targets) {
    return script.run(
        reference.getManager(),
        "divergence",
        reference,
        hidden,
        targets,
        model.modelWithHead(),
        model.modelInts(),
        model.modelFloats());
  }

  /** {@code forward} or {@code decode}: the whole model from ids to logits. */
  PtNDArray whole(String method, PtNDArray ids, KvCache cache, int start) {
    int tokens = (int) (ids.getShape().size() / cache.batch());
    if (model.isOffloaded()) {
      return inParts(ids, cache, start, tokens);
    }
    layerPositions += (long) tokens * cache.map().layers();
    return script.run(
        ids.getManager(),
        method,
        ids,
        start,
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

  /** The whole model where layers come into memory one by one. */
  private PtNDArray inParts(PtNDArray ids, KvCache cache, int start, int tokens) {
    try (PtNDArray rows = (PtNDArray) ids.reshape(cache.batch(), tokens);
        PtNDArray embedded = embed(rows, cache, start);
        PtNDArray hidden = layers(embedded, cache, start, 0, cache.map().layers());
        PtNDArray logits = head(hidden)) {
      return logits.reshape(ids.getShape().add(logits.getShape().get(2)));
    }
  }
}
