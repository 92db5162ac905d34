package dev.kvshare.eval.speed;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;

/**
 * Prefill and greedy decoding of made-up prompts, a step at a time, for a caller that lets several
 * systems take turns. Token t of row r is {@code (7919 t + 104729 r + 13) mod V}, so that other
 * systems can be given the same prompts.
 */
public final class SpeedRun implements AutoCloseable {
  private static final int PREFILL_CHUNK = 512;
  private static final double NANOSECONDS = 1e9;

  private final Decoder decoder;
  private KvCache cache;
  private int promptTokens;

  /**
   * A probe without a prompt.
   *
   * @param decoder the model, which stays open
   */
  public SpeedRun(Decoder decoder) {
    this.decoder = decoder;
  }

  /**
   * Reads prompts into a new cache.
   *
   * @param newTokens positions to make room for behind the prompts
   * @return seconds
   */
  public double prefill(int batch, int tokens, int newTokens, SharingMap map) {
    close();
    List<int[]> rows = new ArrayList<>();
    for (int row = 0; row < batch; row++) {
      int[] ids = new int[tokens];
      for (int t = 0; t < tokens; t++) {
        ids[t] = (int) ((7919L * t + 104729L * row + 13) % decoder.spec().vocabularySize());
      }
      rows.add(ids);
    }
    cache = decoder.newCache(map, batch, tokens + newTokens);
    promptTokens = tokens;
    long start = System.nanoTime();
    try (NDArray logits = decoder.prefill(new PromptBatch(rows), cache, PREFILL_CHUNK);
        NDArray best = logits.argMax(1)) {
      best.toLongArray();
    }
    return (System.nanoTime() - start) / NANOSECONDS;
  }

  /**
   * Decodes new tokens behind the prompts; the next call begins at their end again.
   *
   * @return seconds
   */
  public double decode(int newTokens) {
    cache.truncate(promptTokens);
    try (NDManager scratch = decoder.newManager()) {
      NDArray ids = scratch.full(new Shape(cache.batch()), 13, DataType.INT64);
      long start = System.nanoTime();
      for (int i = 0; i < newTokens; i++) {
        NDArray logits = decoder.decode(ids, cache);
        ids.close();
        ids = logits.argMax(1);
        logits.close();
      }
      ids.toLongArray();
      return (System.nanoTime() - start) / NANOSECONDS;
    }
  }

  /** Bytes of the cache as allocated. */
  public long cacheBytes() {
    return cache.bytes();
  }

  /** Bytes that the cache should have, from the model and the map alone. */
  public long predictedBytes(int bytesPerElement) {
    return decoder.spec().kvUse(Plan.of(cache.map())).bytesPerToken(bytesPerElement)
        * cache.batch()
        * cache.capacity();
  }

  @Override
  public void close() {
    if (cache != null) {
      cache.close();
      cache = null;
    }
  }
}
