package dev.kvshare.eval.check;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.eval.quality.EvaluationException;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * Runs the inputs of a check. Letters: B sequences, T tokens, C positions of a chunk, E hidden
 * size, V vocabulary. The layers run all tokens of a step at once; logits are made of C positions
 * at a time, as those of all may be larger than the memory.
 */
final class CheckRun {
  private static final String INPUT_IDS = "input_ids";
  private static final int PREFILL_CHUNK = 512;

  private final Decoder decoder;
  private final Plan plan;
  private final int prefillTokens;
  private final long logitBytes;
  private final long[] ids;
  private final int batch;

  /** Told the outputs float32 [B, C, W], row-major, of the positions from {@code start} on. */
  interface Outputs {
    void accept(int start, int positions, float[] outputs);
  }

  /**
   * A run of the ids of the request or, where it has none, those of the file.
   *
   * @param logitBytes bytes of the logits of a chunk; a single position may have more
   */
  CheckRun(
      Decoder decoder, CheckpointCheck.Request request, StoredOutputs stored, long logitBytes) {
    this.decoder = decoder;
    this.plan = request.plan();
    this.prefillTokens = request.prefillTokens();
    this.logitBytes = logitBytes;
    if (request.inputIds().isEmpty()) {
      List<Long> shape = stored.info(INPUT_IDS).shape();
      if (shape.isEmpty() || shape.size() > 2) {
        throw new EvaluationException(
            "The tensor %s%s of %s must have the shape [sequences, tokens] or [tokens]."
                .formatted(INPUT_IDS, shape, stored.path()));
      }
      this.batch = shape.size() == 2 ? Math.toIntExact(shape.get(0)) : 1;
      this.ids = stored.integers(INPUT_IDS);
    } else {
      this.batch = 1;
      this.ids = request.inputIds().stream().mapToLong(id -> id).toArray();
    }
    int vocabulary = decoder.spec().vocabularySize();
    for (long id : ids) {
      if (id < 0 || id >= vocabulary) {
        throw new EvaluationException(
            "The token id %d is outside the vocabulary of the model, 0 to %d. Check that %s belongs to this model."
                .formatted(id, vocabulary - 1, stored.path()));
      }
    }
  }

  /** B. */
  int batch() {
    return batch;
  }

  /** T. */
  int tokens() {
    return ids.length / batch;
  }

  /** Gives all logits, W = V; single tokens behind others take the way of generation. */
  void logits(Outputs outputs) {
    int chunk =
        (int)
            Math.max(1, logitBytes / Float.BYTES / decoder.spec().vocabularySize() / (long) batch);
    try (NDManager scratch = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), batch, tokens())) {
      for (int start = 0, end = firstStep(); start < tokens(); start = end, end++) {
        try (NDManager step = scratch.newSubManager()) {
          NDArray part = part(start, end, step);
          if (start > 0) {
            outputs.accept(start, 1, decoder.decode(part.reshape(batch), cache).toFloatArray());
            continue;
          }
          NDArray hidden = decoder.hidden(part, cache);
          for (int from = 0; from < end; from += chunk) {
            int to = Math.min(end, from + chunk);
            try (NDArray positions = hidden.get(new NDIndex(":, {}:{}", from, to));
                NDArray logits = decoder.head(positions)) {
              outputs.accept(from, to - from, logits.toFloatArray());
            }
          }
        }
      }
    }
  }

  /** Gives all hidden states behind the final norm, W = E. */
  void lastHidden(Outputs outputs) {
    try (NDManager scratch = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), batch, tokens())) {
      for (int start = 0, end = firstStep(); start < tokens(); start = end, end++) {
        try (NDManager step = scratch.newSubManager()) {
          NDArray hidden = decoder.finalNorm(decoder.hidden(part(start, end, step), cache));
          outputs.accept(start, end - start, hidden.toType(DataType.FLOAT32, false).toFloatArray());
        }
      }
    }
  }

  private int firstStep() {
    return prefillTokens == 0 ? tokens() : Math.min(prefillTokens, tokens());
  }

  /** Returns int64 [B, end - start] in {@code manager}. */
  private NDArray part(int start, int end, NDManager manager) {
    return manager.create(ids, new Shape(batch, tokens())).get(new NDIndex(":, {}:{}", start, end));
  }

  /**
   * Returns the greedy continuation of the first sequence, judged against a stored one.
   *
   * @param expected the stored continuation
   * @param suppressed tokens that are never chosen
   * @param tolerance largest absolute difference of a logit; two logits may differ by twice as much
   */
  CheckResult.GreedyDifference greedy(long[] expected, Set<Integer> suppressed, double tolerance) {
    int[] prompt = Arrays.stream(ids).limit(tokens()).mapToInt(Math::toIntExact).toArray();
    try (NDManager scratch = decoder.newManager();
        KvCache cache =
            decoder.newCache(CacheOptions.of(plan), 1, prompt.length + expected.length)) {
      NDArray logits = decoder.prefill(PromptBatch.of(prompt), cache, PREFILL_CHUNK);
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
