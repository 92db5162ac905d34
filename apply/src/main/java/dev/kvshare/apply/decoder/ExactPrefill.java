package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.weights.LayerWeights.UnderPlan;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.plan.Plan;

/**
 * Computes prompts as the unshared model does, layer after layer ({@link Plan.Prefill#EXACT}). Each
 * layer makes and reads keys and values of its own for the whole prompt. When the prompt is through
 * a layer, the cache keeps of them what the plan keeps: nothing of a layer that shares, first and
 * last tokens of one with a window, all of another.
 *
 * <p>All positions of a prompt use the checkpoint's own weights. Refitted weights make up for what
 * a layer lacks, and while the prompt is computed it lacks nothing; they are for the tokens behind
 * the prompt. The logits of a prompt's last token are therefore those of the unshared model.
 *
 * <p>Beyond what is kept, memory holds the keys and values of one layer, and the residual stream of
 * the whole prompt. Letters: B batch, T tokens of the prompt, E hidden size, Hkv key/value heads, D
 * head size.
 */
final class ExactPrefill {
  private final KvCache.Storage storage;
  private final ScriptCalls calls;
  private final PromptBatch prompts;
  private final PtNDArray first;
  private final int chunkTokens;

  /** One layer on some positions [B, n, E] from start on, whose keys and values it writes. */
  private interface OneLayer {
    PtNDArray run(PtNDArray hidden, int start);
  }

  /**
   * @param first that of the cache
   * @param chunkTokens positions that one layer processes at once
   */
  ExactPrefill(
      KvCache.Storage storage,
      ScriptCalls calls,
      PromptBatch prompts,
      PtNDArray first,
      int chunkTokens) {
    this.storage = storage;
    this.calls = calls;
    this.prompts = prompts;
    this.first = first;
    this.chunkTokens = chunkTokens;
  }

  /**
   * Runs all layers.
   *
   * @param cache has room for the prompts where it keeps everything, else begins an exact prompt
   * @return the last position behind the highest layer [B, 1, E], which belongs to the decoder
   */
  PtNDArray run(DecodingCache cache) {
    int tokens = prompts.longest();
    try (UnderPlan unshared = storage.weights().layers().under(storage.spec().plan());
        PtNDManager scratch = (PtNDManager) storage.parent().newSubManager()) {
      Shape shape = new Shape(prompts.size(), tokens);
      PtNDArray ids = (PtNDArray) scratch.create(prompts.column(0, tokens), shape);
      PtNDArray hidden = calls.embed(ids, first, 0);
      for (int layer = 0; layer < storage.spec().layers(); layer++) {
        unshared.enter(layer);
        if (!cache.map().ownsCache(layer)) {
          hidden = passThrough(hidden, unshared, layer, cache);
        } else if (cache instanceof CompressedCache compressed) {
          hidden = reduce(hidden, unshared, layer, compressed);
        } else {
          hidden = through(hidden, unshared, layer, ((KvCache) cache).keysAndValues(layer));
        }
      }
      PtNDArray last = part(hidden, (int) hidden.getShape().get(1) - 1, 1);
      last.attach(storage.parent());
      return last;
    }
  }

  /** A layer of which nothing is kept. */
  private PtNDArray passThrough(
      PtNDArray hidden, UnderPlan unshared, int layer, DecodingCache cache) {
    AttentionSpec attention = storage.spec().blocks().get(layer).attention();
    Shape shape =
        new Shape(
            prompts.size(), attention.keyValueHeads(), prompts.longest(), attention.headSize());
    try (PtNDArray keys = storage.script().zeros(storage.parent(), shape, storage.type());
        PtNDArray values = storage.script().zeros(storage.parent(), shape, storage.type())) {
      long bytes = 2 * keys.size() * storage.type().bytes();
      if (cache instanceof CompressedCache compressed) {
        compressed.countBytes(bytes);
      } else {
        ((KvCache) cache).countBytes(bytes);
      }
      return through(hidden, unshared, layer, new PtNDArray[] {keys, values});
    }
  }

  /** A layer of which a part is kept, perhaps by the attention that tokens receive in it. */
  private PtNDArray reduce(PtNDArray hidden, UnderPlan unshared, int layer, CompressedCache cache) {
    LayerStore store = cache.newStore(layer);
    long[] rule = cache.unsharedRule(layer);
    PtNDArray behind =
        store.isScored()
            ? inChunks(
                hidden,
                (x, start) -> calls.scoredLayer(x, unshared, layer, start, first, store, rule))
            : through(hidden, unshared, layer, store.keysAndValues());
    cache.settle(layer, store);
    return behind;
  }

  /**
   * A layer with its keys and values, [B, Hkv, N, D] each. Of the highest nothing else is needed,
   * the last position apart.
   */
  private PtNDArray through(
      PtNDArray hidden, UnderPlan unshared, int layer, PtNDArray[] keysAndValues) {
    if (layer < storage.spec().layers() - 1) {
      return inChunks(
          hidden, (x, start) -> calls.layer(x, unshared, layer, start, first, keysAndValues));
    }
    int tokens = prompts.longest();
    for (int start = 0; start < tokens; start += chunkTokens) {
      try (PtNDArray some = part(hidden, start, Math.min(chunkTokens, tokens - start))) {
        calls.fill(some, unshared, layer, start, first, keysAndValues).close();
      }
    }
    try (hidden;
        PtNDArray last = part(hidden, tokens - 1, 1)) {
      return calls.layer(last, unshared, layer, tokens - 1, first, keysAndValues);
    }
  }

  /** All positions [B, T, E] become what the layer makes of them. */
  private PtNDArray inChunks(PtNDArray hidden, OneLayer layer) {
    int tokens = prompts.longest();
    if (tokens <= chunkTokens) {
      try (hidden) {
        return layer.run(hidden, 0);
      }
    }
    for (int start = 0; start < tokens; start += chunkTokens) {
      try (PtNDArray some = part(hidden, start, Math.min(chunkTokens, tokens - start));
          PtNDArray behind = layer.run(some, start)) {
        calls.put(hidden, behind, start);
      }
    }
    return hidden;
  }

  private static PtNDArray part(PtNDArray hidden, int start, int positions) {
    return (PtNDArray) hidden.get(":, " + start + ":" + (start + positions));
  }
}
