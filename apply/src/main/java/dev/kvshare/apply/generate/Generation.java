package dev.kvshare.apply.generate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import java.util.List;
import java.util.Set;

/**
 * One run of a request: prefill of all prompts, then a decoding step a token for all rows together
 * until each has ended. Rows that ended keep their place in the batch and are ignored.
 */
final class Generation {
  private static final int PREFILL_CHUNK_TOKENS = 512;

  /** Positions allocated for new tokens at once; the cache grows when a row needs more. */
  private static final int NEW_POSITIONS = 256;

  /**
   * How the caches of a run are made.
   *
   * @param cachePolicy what layers keep of their keys and values, null for everything that some
   *     layer may still see
   */
  record Caches(Decoder decoder, CacheOptions options, CachePolicy cachePolicy) {
    DecodingCache make(int batch, int initialCapacity) {
      return decoder.newCache(options, cachePolicy, batch, initialCapacity);
    }
  }

  private final Decoder decoder;
  private final Caches caches;
  private final List<GenerationRow> rows;
  private final Set<Integer> endTokens;
  private final GenerationRow.Limits limits;
  private final boolean greedyOnDevice;
  private final TokenListener listener;

  /**
   * @param greedyOnDevice whether each row takes its highest logit as it is, so that logits need
   *     not leave the device
   */
  Generation(
      Caches caches,
      List<GenerationRow> rows,
      Set<Integer> endTokens,
      GenerationRow.Limits limits,
      boolean greedyOnDevice,
      TokenListener listener) {
    this.decoder = caches.decoder();
    this.caches = caches;
    this.rows = rows;
    this.endTokens = endTokens;
    this.limits = limits;
    this.greedyOnDevice = greedyOnDevice;
    this.listener = listener;
  }

  GenerationResult run(int bytesPerElement) {
    PromptBatch prompts = new PromptBatch(rows.stream().map(GenerationRow::prompt).toList());
    int capacity = prompts.longest() + Math.min(limits.maxNewTokens(), NEW_POSITIONS);
    try (DecodingCache cache = caches.make(rows.size(), capacity)) {
      long start = System.nanoTime();
      int[] next;
      try (NDArray logits = decoder.prefill(prompts, cache, PREFILL_CHUNK_TOKENS)) {
        checkFinite(logits);
        next = choose(logits);
      }
      long prefilled = System.nanoTime();
      boolean goOn = accept(next);
      while (goOn && !rows.stream().allMatch(GenerationRow::finished)) {
        goOn = !Thread.currentThread().isInterrupted() && step(cache);
      }
      long end = System.nanoTime();
      for (GenerationRow row : rows) {
        if (!row.finished()) {
          row.finish(FinishReason.STOPPED, listener);
        }
      }
      GenerationStats stats =
          new GenerationStats(
              rows.stream().mapToLong(row -> row.prompt().length).sum(),
              rows.stream().mapToLong(GenerationRow::newTokens).sum(),
              prefilled - start,
              end - prefilled,
              decoder.spec().kvUse(caches.options().plan()).bytesPerToken(bytesPerElement),
              cache.bytes(),
              rows.stream().mapToLong(row -> row.prompt().length + row.newTokens()).sum()
                  * decoder.spec().kvUse(caches.options().plan()).unsharedBytes(1, bytesPerElement),
              ProcessMemory.peakResidentBytes());
      return new GenerationResult(rows.stream().map(GenerationRow::completion).toList(), stats);
    }
  }

  private boolean step(DecodingCache cache) {
    long[] ids = rows.stream().mapToLong(GenerationRow::lastId).toArray();
    try (NDManager manager = decoder.newManager();
        NDArray logits = decoder.decode(manager.create(ids, new Shape(ids.length)), cache)) {
      boolean goOn = accept(choose(logits));
      listener.onStep(rows.get(0).newTokens(), cache.bytes());
      return goOn;
    }
  }

  /**
   * The next token of each row; any token for rows that ended.
   *
   * @param logits float32 [B, V]
   */
  private int[] choose(NDArray logits) {
    int[] next = new int[rows.size()];
    if (greedyOnDevice) {
      try (NDArray highest = logits.argMax(1)) {
        long[] ids = highest.toLongArray();
        for (int row = 0; row < next.length; row++) {
          next[row] = (int) ids[row];
        }
      }
      return next;
    }
    float[] all = logits.toFloatArray();
    int vocabularySize = all.length / next.length;
    for (int row = 0; row < next.length; row++) {
      if (!rows.get(row).finished()) {
        float[] own = new float[vocabularySize];
        System.arraycopy(all, row * vocabularySize, own, 0, vocabularySize);
        next[row] = rows.get(row).sampler().choose(own);
      }
    }
    return next;
  }

  private boolean accept(int[] next) {
    boolean goOn = true;
    for (int row = 0; row < next.length; row++) {
      if (!rows.get(row).finished()) {
        goOn &= rows.get(row).accept(next[row], endTokens, limits, listener);
      }
    }
    return goOn;
  }

  private void checkFinite(NDArray logits) {
    try (NDArray sums = logits.sum(new int[] {1})) {
      float[] values = sums.toFloatArray();
      for (int row = 0; row < values.length; row++) {
        if (!Float.isFinite(values[row])) {
          throw new GenerationException(
              "The model gives no finite logits for prompt %d. Its weights hold NaN or infinite values, or its numbers overflow in the chosen type: try float32, or download the model again."
                  .formatted(row));
        }
      }
    }
  }
}
