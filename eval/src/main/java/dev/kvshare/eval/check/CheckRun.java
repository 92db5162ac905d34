package dev.kvshare.eval.check;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.plan.Plan;
import java.util.Set;

/**
 * Runs the inputs of a check. Letters: B batch, T tokens, E hidden size, V vocabulary.
 *
 * @param decoder the model
 * @param plan which keys and values each layer sees
 * @param prefillTokens tokens run at once at the start, the rest one by one; 0 runs all at once
 */
record CheckRun(Decoder decoder, Plan plan, int prefillTokens) {
  private static final int PREFILL_CHUNK = 512;

  /** Runs the tokens from {@code start} to {@code end} of [B, T] ids behind the cache. */
  private interface Step {
    NDArray run(NDArray ids, KvCache cache);
  }

  /** Returns logits [B, T, V], row-major; single tokens take the way of generation. */
  float[] logits(long[] ids, int batch) {
    return run(
        ids,
        batch,
        (part, cache) ->
            part.getShape().get(1) == 1 && cache.length() > 0
                ? decoder.decode(part.reshape(batch), cache).expandDims(1)
                : decoder.forward(part, cache));
  }

  /** Returns the hidden states behind the final norm [B, T, E], row-major. */
  float[] lastHidden(long[] ids, int batch) {
    return run(
        ids,
        batch,
        (part, cache) -> {
          NDArray hidden =
              decoder.layers(decoder.embed(part, cache), cache, 0, plan.map().layers());
          cache.advance((int) part.getShape().get(1));
          return decoder.finalNorm(hidden).toType(DataType.FLOAT32, false);
        });
  }

  private float[] run(long[] ids, int batch, Step step) {
    int tokens = ids.length / batch;
    try (NDManager scratch = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), batch, tokens)) {
      NDArray input = scratch.create(ids, new Shape(batch, tokens));
      NDList parts = new NDList();
      int first = prefillTokens == 0 ? tokens : Math.min(prefillTokens, tokens);
      for (int start = 0, end = first; start < tokens; start = end, end++) {
        parts.add(step.run(input.get(new NDIndex(":, {}:{}", start, end)), cache));
      }
      return NDArrays.concat(parts, 1).toFloatArray();
    }
  }

  /**
   * Returns the greedy continuation of one sequence, judged against a stored one.
   *
   * @param ids token ids of the sequence
   * @param expected the stored continuation
   * @param suppressed tokens that are never chosen
   * @param tolerance largest absolute difference of a logit; two logits may differ by twice as much
   */
  CheckResult.GreedyDifference greedy(
      int[] ids, long[] expected, Set<Integer> suppressed, double tolerance) {
    try (NDManager scratch = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), 1, ids.length + expected.length)) {
      NDArray logits = decoder.prefill(PromptBatch.of(ids), cache, PREFILL_CHUNK);
      for (int step = 0; step < expected.length; step++) {
        float[] values = logits.toFloatArray();
        logits.close();
        int stored = (int) expected[step];
        int found = best(values, suppressed);
        if (found != stored) {
          double margin = (double) values[found] - values[stored];
          boolean tied = margin <= 2 * tolerance;
          return new CheckResult.GreedyDifference(
              expected.length, step, stored, found, margin, tied);
        }
        if (step + 1 < expected.length) {
          logits = decoder.decode(scratch.create(new long[] {stored}), cache);
        }
      }
      return new CheckResult.GreedyDifference(expected.length, expected.length, -1, -1, 0, true);
    }
  }

  private static int best(float[] logits, Set<Integer> suppressed) {
    int best = -1;
    for (int token = 0; token < logits.length; token++) {
      if (!suppressed.contains(token) && (best < 0 || logits[token] > logits[best])) {
        best = token;
      }
    }
    return best;
  }
}
