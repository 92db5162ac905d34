package dev.kvshare.eval.quality;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.cache.IntegerKv;
import dev.kvshare.apply.decoder.CompressedCache;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.plan.Plan.Prefill;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Scores passages under several variants at once. Letters: B batch, T tokens of a passage, C
 * positions of a chunk, E hidden size, V vocabulary.
 *
 * <p>The layers are run once a batch and variant; their last hidden states [B, T, E] are small
 * enough to keep. The logits are not: they are made for C positions at a time, the unshared model's
 * once and each variant's beside them.
 */
public final class QualityMeter {
  /**
   * Bounds of memory.
   *
   * @param batchTokens tokens of a batch, B x T; a single passage may have more
   * @param logitBytes bytes of the logits [B, C, V] of a chunk; a single position may have more
   */
  public record Limits(int batchTokens, long logitBytes) {
    public static final Limits DEFAULT = new Limits(1024, 64L << 20);

    /** More passages at once where tokens follow one at a time. */
    public static final Limits STEPWISE = new Limits(8192, 64L << 20);
  }

  /** What a journal keeps: scores by variant and passage, and the bytes of each variant's cache. */
  private record Batch(List<List<PassageScore>> scores, List<Long> compressedBytes) {}

  /** Hears how far a measurement is. */
  @FunctionalInterface
  public interface Listener {
    /** Hears nothing. */
    Listener SILENT = (phase, done, total) -> {};

    /**
     * Called before the first and after each step of a phase.
     *
     * @param phase such as {@code quality} or {@code speed}
     * @param done steps finished
     * @param total steps of the phase
     */
    void onProgress(String phase, int done, int total);
  }

  private static final ObjectMapper JSON = new ObjectMapper();

  private final Decoder decoder;
  private final Limits limits;
  private final Listener listener;
  private final Journal journal;
  private int prompt;
  private long[] compressedBytes;

  /**
   * Measures with a decoder.
   *
   * @param journal keeps the scores of each batch
   */
  public QualityMeter(Decoder decoder, Limits limits, Listener listener, Journal journal) {
    this.decoder = decoder;
    this.limits = limits;
    this.listener = listener;
    this.journal = journal;
  }

  /**
   * Scores the tokens of each passage behind its prompt, each by the logits at the position before.
   * Where a cache policy drops tokens, the prompt is read at once and the others one at a time. A
   * plan with an exact prefill computes the prompt as the unshared model does; a passage without a
   * prompt, that is with one of a single token, is all computed under the plan.
   *
   * @param passages token ids, all of length T
   * @param variants the variants to score; the first is the unshared model
   * @param first tokens at the start of the first passage that are not scored, at least 1
   * @param later the same of all later ones
   * @return the scores of each variant, in the order of the passages
   */
  public List<List<PassageScore>> measure(
      List<int[]> passages, List<Variant> variants, int first, int later) {
    compressedBytes = new long[variants.size()];
    List<List<PassageScore>> scores = new ArrayList<>();
    variants.forEach(variant -> scores.add(new ArrayList<>()));
    int batch = Math.max(1, limits.batchTokens() / passages.get(0).length);
    listener.onProgress("quality", 0, passages.size());
    int end;
    for (int start = 0; start < passages.size(); start = end) {
      prompt = start == 0 ? first : later;
      end = start == 0 && first != later ? 1 : Math.min(passages.size(), start + batch);
      List<int[]> now = passages.subList(start, end);
      JsonNode kept =
          journal.get(
              "passage " + start,
              () -> {
                PassageScore[][] found = measureBatch(now, variants);
                List<List<PassageScore>> lists = Arrays.stream(found).map(List::of).toList();
                return new Batch(lists, Arrays.stream(compressedBytes).boxed().toList());
              });
      Batch found = JSON.convertValue(kept, Batch.class);
      Arrays.setAll(compressedBytes, found.compressedBytes()::get);
      for (int m = 0; m < variants.size(); m++) {
        scores.get(m).addAll(found.scores().get(m));
      }
      listener.onProgress("quality", end, passages.size());
    }
    return scores;
  }

  /** Bytes that the cache of one sequence took at the end of a passage, under a cache policy. */
  public long compressedBytes(int variant) {
    return compressedBytes[variant];
  }

  /** The scores by variant and passage. */
  private PassageScore[][] measureBatch(List<int[]> passages, List<Variant> variants) {
    int tokens = passages.get(0).length;
    long positionBytes = (long) passages.size() * decoder.spec().vocabularySize() * Float.BYTES;
    int chunk = (int) Math.max(1, limits.logitBytes() / positionBytes);
    PassageScore[][] scores = new PassageScore[variants.size()][passages.size()];
    for (PassageScore[] found : scores) {
      Arrays.fill(found, PassageScore.NONE);
    }
    try (NDManager scratch = decoder.newManager()) {
      long[] flat = passages.stream().flatMapToInt(Arrays::stream).asLongStream().toArray();
      NDArray ids = scratch.create(flat, new Shape(passages.size(), tokens));
      List<NDArray> hidden = new ArrayList<>();
      for (int m = 0; m < variants.size(); m++) {
        hidden.add(lastHidden(ids, variants.get(m), m));
      }
      for (int start = prompt - 1; start < tokens - 1; start += chunk) {
        scoreChunk(ids, hidden, start, Math.min(tokens - 1, start + chunk), scores);
      }
    }
    return scores;
  }

  /**
   * Runs all layers over whole passages.
   *
   * @param ids int64 [B, T]
   * @return before the final norm, [B, T - P + 1, E] from the last token of the prompt of P tokens
   *     on, in the manager of {@code ids}
   */
  private NDArray lastHidden(NDArray ids, Variant variant, int number) {
    int batch = (int) ids.getShape().get(0);
    int tokens = (int) ids.getShape().get(1);
    try (DecodingCache cache = variant.newCache(decoder, batch, tokens)) {
      if (cache instanceof CompressedCache) {
        // Integers with scales of single tokens are the same in one pass, and nothing is dropped.
        boolean alike =
            variant.cachePolicy() instanceof IntegerKv integers && !integers.format().byChannel();
        NDArray hidden = stepwise(ids, cache, alike ? tokens : 1);
        compressedBytes[number] = cache.bytes() / batch;
        return hidden;
      }
      if (prompt > 1 && variant.options().plan().prefill() == Prefill.EXACT) {
        NDArray last = readPrompt(ids, cache);
        last.attach(ids.getManager());
        return last.concat(decoder.hidden(slice(ids, prompt, tokens, ids.getManager()), cache), 1);
      }
      try (NDArray all = decoder.hidden(ids, cache)) {
        return slice(all, prompt - 1, tokens, ids.getManager());
      }
    }
  }

  private NDArray stepwise(NDArray ids, DecodingCache cache, int step) {
    int tokens = (int) ids.getShape().get(1);
    try (NDManager steps = decoder.newManager()) {
      NDArray first = readPrompt(ids, cache);
      first.attach(steps);
      NDList hidden = new NDList(first);
      for (int token = prompt; token < tokens; token += step) {
        int end = Math.min(tokens, token + step);
        hidden.add(decoder.hidden(slice(ids, token, end, steps), cache));
      }
      NDArray all = NDArrays.concat(hidden, 1);
      all.attach(ids.getManager());
      return all;
    }
  }

  /** Reads the first tokens of passages; the last of them [B, 1, E], before the final norm. */
  private NDArray readPrompt(NDArray ids, DecodingCache cache) {
    int tokens = (int) ids.getShape().get(1);
    int[] flat = Arrays.stream(ids.toLongArray()).mapToInt(Math::toIntExact).toArray();
    List<int[]> rows = new ArrayList<>();
    for (int start = 0; start < flat.length; start += tokens) {
      rows.add(Arrays.copyOfRange(flat, start, start + prompt));
    }
    return decoder.prompt(new PromptBatch(rows), cache, prompt);
  }

  private void scoreChunk(
      NDArray ids, List<NDArray> hidden, int start, int end, PassageScore[][] scores) {
    try (NDManager scratch = decoder.newManager()) {
      NDArray next = slice(ids, start + 1, end + 1, scratch).expandDims(2);
      int from = start - prompt + 1;
      int to = end - prompt + 1;
      NDArray unshared = logProbabilities(hidden.get(0), from, to, scratch);
      NDArray probabilities = unshared.exp();
      long[] best = unshared.argMax(2).toType(DataType.INT64, false).toLongArray();
      for (int m = 0; m < hidden.size(); m++) {
        try (NDManager inner = scratch.newSubManager()) {
          NDArray found = m == 0 ? unshared : logProbabilities(hidden.get(m), from, to, inner);
          float[] losses = found.gather(next, 2).neg().toFloatArray();
          float[] divergences =
              probabilities.mul(unshared.sub(found)).sum(new int[] {2}).toFloatArray();
          long[] choices = found.argMax(2).toType(DataType.INT64, false).toLongArray();
          PassageScore.add(scores[m], losses, divergences, choices, best);
        }
      }
    }
  }

  /** Returns float32 [B, C, V] in {@code manager}. */
  private NDArray logProbabilities(NDArray hidden, int start, int end, NDManager manager) {
    return decoder.head(slice(hidden, start, end, manager)).logSoftmax(2);
  }

  private static NDArray slice(NDArray array, int start, int end, NDManager manager) {
    NDArray slice = array.get(new NDIndex(":, {}:{}", start, end));
    slice.attach(manager);
    return slice;
  }
}
