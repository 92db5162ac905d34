package dev.kvshare.eval;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.runtime.CacheOptions;
import dev.kvshare.runtime.Decoder;
import dev.kvshare.runtime.KvCache;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Scores windows under several sharing maps at once. Letters: B batch, T tokens of a window, C
 * positions of a chunk, E hidden size, V vocabulary.
 *
 * <p>The layers are run once a batch and map; their last hidden states [B, T, E] are small enough
 * to keep. The logits are not: they are made for C positions at a time, the unshared model's once
 * and each map's beside them.
 */
final class QualityMeter {
  /**
   * Bounds of memory.
   *
   * @param batchTokens tokens of a batch, B x T; a single window may have more
   * @param logitBytes bytes of the logits [B, C, V] of a chunk; a single position may have more
   */
  record Limits(int batchTokens, long logitBytes) {
    static final Limits DEFAULT = new Limits(1024, 64L << 20);
  }

  private final Decoder decoder;
  private final Limits limits;
  private final EvaluationListener listener;

  QualityMeter(Decoder decoder, Limits limits, EvaluationListener listener) {
    this.decoder = decoder;
    this.limits = limits;
    this.listener = listener;
  }

  /**
   * Scores each window: the logits at its first T - 1 positions against its last T - 1 tokens.
   *
   * @param windows token ids, all of length T
   * @param plans the plans to score; the first is the unshared model
   * @return the scores of each map, in the order of the windows
   */
  List<List<WindowScore>> measure(List<int[]> windows, List<SharingPlan> plans) {
    List<List<WindowScore>> scores = new ArrayList<>();
    plans.forEach(plan -> scores.add(new ArrayList<>()));
    int batch = Math.max(1, limits.batchTokens() / windows.get(0).length);
    listener.onProgress("quality", 0, windows.size());
    for (int start = 0; start < windows.size(); start += batch) {
      int end = Math.min(windows.size(), start + batch);
      List<BatchScores> batchScores = measureBatch(windows.subList(start, end), plans);
      for (int m = 0; m < plans.size(); m++) {
        scores.get(m).addAll(batchScores.get(m).windows());
      }
      listener.onProgress("quality", end, windows.size());
    }
    return scores;
  }

  private List<BatchScores> measureBatch(List<int[]> windows, List<SharingPlan> plans) {
    int tokens = windows.get(0).length;
    int chunk = chunk(windows.size());
    List<BatchScores> scores = plans.stream().map(plan -> new BatchScores(windows.size())).toList();
    try (NDManager scratch = decoder.newManager()) {
      NDArray ids = scratch.create(flatten(windows), new Shape(windows.size(), tokens));
      List<NDArray> hidden = plans.stream().map(plan -> lastHidden(ids, plan)).toList();
      for (int start = 0; start < tokens - 1; start += chunk) {
        scoreChunk(ids, hidden, start, Math.min(tokens - 1, start + chunk), scores);
      }
    }
    return scores;
  }

  private int chunk(int batch) {
    long bytesPerPosition = (long) batch * decoder.spec().vocabularySize() * Float.BYTES;
    return (int) Math.max(1, limits.logitBytes() / bytesPerPosition);
  }

  private static long[] flatten(List<int[]> windows) {
    return windows.stream().flatMapToInt(Arrays::stream).asLongStream().toArray();
  }

  /**
   * Runs all layers over whole windows.
   *
   * @param ids int64 [B, T]
   * @return [B, T, E] before the final norm, in the manager of {@code ids}
   */
  private NDArray lastHidden(NDArray ids, SharingPlan plan) {
    int batch = (int) ids.getShape().get(0);
    int tokens = (int) ids.getShape().get(1);
    try (KvCache cache = decoder.newCache(CacheOptions.of(plan), batch, tokens);
        NDArray embedded = decoder.embed(ids, cache)) {
      return decoder.layers(embedded, cache, 0, plan.map().layers());
    }
  }

  private void scoreChunk(
      NDArray ids, List<NDArray> hidden, int start, int end, List<BatchScores> scores) {
    try (NDManager scratch = decoder.newManager()) {
      NDArray next = slice(ids, start + 1, end + 1, scratch).expandDims(2);
      NDArray unshared = logProbabilities(hidden.get(0), start, end, scratch);
      NDArray probabilities = unshared.exp();
      long[] best = unshared.argMax(2).toType(DataType.INT64, false).toLongArray();
      for (int m = 0; m < hidden.size(); m++) {
        try (NDManager inner = scratch.newSubManager()) {
          NDArray found = m == 0 ? unshared : logProbabilities(hidden.get(m), start, end, inner);
          float[] losses = found.gather(next, 2).neg().toFloatArray();
          float[] divergences =
              probabilities.mul(unshared.sub(found)).sum(new int[] {2}).toFloatArray();
          long[] choices = found.argMax(2).toType(DataType.INT64, false).toLongArray();
          scores.get(m).add(losses, divergences, choices, best);
        }
      }
    }
  }

  /** Returns float32 [B, C, V] in {@code manager}. */
  private NDArray logProbabilities(NDArray hidden, int start, int end, NDManager manager) {
    NDArray logits = decoder.head(slice(hidden, start, end, manager));
    return logits.logSoftmax(2);
  }

  private static NDArray slice(NDArray array, int start, int end, NDManager manager) {
    NDArray slice = array.get(new NDIndex(":, {}:{}", start, end));
    slice.attach(manager);
    return slice;
  }
}
