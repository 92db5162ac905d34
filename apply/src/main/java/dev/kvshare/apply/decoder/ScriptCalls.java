package dev.kvshare.apply.decoder;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.LayerWeights.UnderPlan;
import dev.kvshare.apply.decoder.weights.ModelWeights;
import dev.kvshare.apply.decoder.weights.ModelWeights.EmbeddedTokens;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * The entry points of {@code decoder.py}, one native call each. The result belongs to the manager
 * of the tensor given first.
 */
final class ScriptCalls {
  private final ScriptModule script;
  private final ModelWeights model;
  private final RotaryTables rotary;

  ScriptCalls(ScriptModule script, ModelWeights model, RotaryTables rotary) {
    this.script = script;
    this.model = model;
    this.rotary = rotary;
  }

  /** ids int64 [B, T] to [B, T, E]; {@code first} is that of the cache. */
  PtNDArray embed(PtNDArray ids, PtNDArray first, int start) {
    if (!model.isOffloaded()) {
      return script.run(ids.getManager(), "embed", ids, start, first, model.outer());
    }
    try (EmbeddedTokens tokens = model.embedding(ids)) {
      return script.run(ids.getManager(), "embed", tokens.rows(), start, first, tokens.outer());
    }
  }

  /** Counts hidden [B, T, E] that run through so many layers. */
  private void count(PtNDArray hidden, int layers) {
    model.countRun(hidden.getShape().get(0) * hidden.getShape().get(1), layers);
  }

  /** Some layers of a range. */
  @FunctionalInterface
  private interface LayerRun {
    PtNDArray run(PtNDArray hidden, int from, int to);
  }

  /** A range of layers at once, or one by one where {@code enter} brings each into memory. */
  private PtNDArray inTurn(PtNDArray hidden, int from, int to, IntConsumer enter, LayerRun layers) {
    count(hidden, to - from);
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
    return compressedLayers(hidden, cache, from, to, tokens, cache.owns());
  }

  /**
   * The same for the last of {@code written} new tokens, [B, 1, E], which are in the cache already.
   */
  PtNDArray compressedLast(PtNDArray hidden, CompressedCache cache, int from, int to, int written) {
    return compressedLayers(hidden, cache, from, to, written, new long[cache.map().layers()]);
  }

  /**
   * @param written how many new tokens, hidden the last of them, are in the cache when layers read
   * @param owns for each layer 1 if it writes them
   */
  private PtNDArray compressedLayers(
      PtNDArray hidden, CompressedCache cache, int from, int to, int written, long[] owns) {
    long start = cache.length() + written - hidden.getShape().get(1);
    return inTurn(
        hidden,
        from,
        to,
        cache::enter,
        (x, low, high) ->
            onLayers(
                "compressed_layers",
                x,
                low,
                high,
                start,
                cache.arguments(),
                owns,
                cache.bySource(LayerStore::nextSlot),
                cache.bySource(store -> store.filledAfter(written)),
                cache.alike(),
                cache.inOrder(),
                cache.origin(),
                cache.plan().reach()));
  }

  /** As {@link #fill(PtNDArray, KvCache, int, int)} behind the tokens of a compressed cache. */
  PtNDArray fill(PtNDArray hidden, CompressedCache cache, int layer) {
    cache.enter(layer);
    long[] slots = cache.bySource(LayerStore::nextSlot);
    List<Object> arguments = cache.arguments();
    return onLayers(
        "compressed_fill", hidden, layer, cache.length(), arguments, slots, cache.origin());
  }

  /** Layers {@code from} to {@code to - 1}: [B, T, E] to [B, T, E]. */
  PtNDArray layers(PtNDArray hidden, KvCache cache, int start, int from, int to) {
    return inTurn(
        hidden,
        from,
        to,
        cache.layers()::enter,
        (x, low, high) ->
            onLayers("layers", x, low, high, start, cache.first(), cache.arguments()));
  }

  /** Writes keys and values of one layer for hidden [B, T, E]; gives its last position. */
  PtNDArray fill(PtNDArray hidden, KvCache cache, int start, int layer) {
    cache.layers().enter(layer);
    List<Object> weights = cache.layers().arguments();
    int reader = cache.readerOf(layer);
    return onLayers(
        "fill", hidden, layer, reader, start, cache.first(), weights, cache.keysAndValues());
  }

  /**
   * One layer with keys and values of its own, [B, Hkv, N, D] each, which it writes from start on:
   * [B, T, E] to [B, T, E].
   */
  PtNDArray layer(
      PtNDArray hidden,
      UnderPlan layers,
      int layer,
      int start,
      PtNDArray first,
      PtNDArray[] keysAndValues) {
    count(hidden, 1);
    List<Object> own = ofAll(keysAndValues);
    return onLayers(
        "layers",
        hidden,
        layer,
        layer + 1,
        start,
        first,
        layers.arguments(),
        layers.kinds(),
        own,
        everywhere(1));
  }

  /** Writes keys and values of that layer, nothing else; gives the last position of hidden. */
  PtNDArray fill(
      PtNDArray hidden,
      UnderPlan layers,
      int layer,
      int start,
      PtNDArray first,
      PtNDArray[] keysAndValues) {
    List<Object> own = ofAll(keysAndValues);
    return onLayers("fill", hidden, layer, layer, start, first, layers.arguments(), own);
  }

  /** As {@link #layer}, and adds what attention the tokens receive to the scores of a store. */
  PtNDArray scoredLayer(
      PtNDArray hidden,
      UnderPlan layers,
      int layer,
      int start,
      PtNDArray first,
      LayerStore store,
      long[] rule) {
    int tokens = (int) hidden.getShape().get(1);
    count(hidden, 1);
    try (IValue state = IValue.listFrom(store.state());
        IValue ruled = IValue.listFrom(rule)) {
      IValue[] states = new IValue[model.spec().layers()];
      IValue[] rules = new IValue[states.length];
      Arrays.fill(states, state);
      Arrays.fill(rules, ruled);
      try (IValue all = IValue.listFrom(states);
          IValue allRules = IValue.listFrom(rules)) {
        return onLayers(
            "compressed_layers",
            hidden,
            layer,
            layer + 1,
            start,
            first,
            layers.arguments(),
            all,
            allRules,
            everywhere(1),
            everywhere(start),
            everywhere(start + tokens),
            everywhere(layer),
            everywhere(first.size() == 0 ? 1 : 0),
            0,
            0);
      }
    }
  }

  /** A layer's keys and values for each layer: only that layer is run. */
  private List<Object> ofAll(PtNDArray[] keysAndValues) {
    return Arrays.stream(keysAndValues)
        .<Object>map(
            tensor -> {
              PtNDArray[] all = new PtNDArray[model.spec().layers()];
              Arrays.fill(all, tensor);
              return all;
            })
        .toList();
  }

  private long[] everywhere(long number) {
    long[] numbers = new long[model.spec().layers()];
    Arrays.fill(numbers, number);
    return numbers;
  }

  private PtNDArray onLayers(String method, PtNDArray first, Object... arguments) {
    return script.run(first.getManager(), method, first, Arrays.asList(arguments), rotary.tables());
  }

  /** Zeros of the shape of hidden [B, T, E]. */
  PtNDArray zerosLike(PtNDArray hidden) {
    return script.run(hidden.getManager(), "zeros_like", hidden);
  }

  /** Copies some positions [B, n, E] into hidden [B, T, E]. */
  void put(PtNDArray hidden, PtNDArray some, int position) {
    script.run(null, "put", hidden, some, position);
  }

  /** The final norm: [B, T, E] to float32 [B, T, E]. */
  PtNDArray finalNorm(PtNDArray hidden) {
    return script.run(hidden.getManager(), "final_norm", hidden, model.outer());
  }

  /** The final norm and the output head: [B, T, E] to float32 [B, T, V]. */
  PtNDArray head(PtNDArray hidden) {
    return script.run(hidden.getManager(), "head", hidden, model.outerWithHead());
  }

  /** Two hidden states [B, T, E] and the following tokens int64 [B, T] to float64 [6]. */
  PtNDArray divergence(PtNDArray reference, PtNDArray hidden, PtNDArray targets) {
    List<IValue> outer = model.outerWithHead();
    return script.run(reference.getManager(), "divergence", reference, hidden, targets, outer);
  }

  /** {@code forward} or {@code decode}: the whole model from ids to logits. */
  PtNDArray whole(String method, PtNDArray ids, KvCache cache, int start) {
    int tokens = (int) (ids.getShape().size() / cache.batch());
    if (!model.isOffloaded()) {
      model.countRun(ids.getShape().size(), cache.map().layers());
      return onLayers(method, ids, start, cache.first(), model.outer(), cache.arguments());
    }
    try (PtNDArray rows = (PtNDArray) ids.reshape(cache.batch(), tokens);
        PtNDArray embedded = embed(rows, cache.first(), start);
        PtNDArray hidden = layers(embedded, cache, start, 0, cache.map().layers());
        PtNDArray logits = head(hidden)) {
      return logits.reshape(ids.getShape().add(logits.getShape().get(2)));
    }
  }
}
