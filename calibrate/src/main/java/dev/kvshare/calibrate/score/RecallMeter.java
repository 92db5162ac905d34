package dev.kvshare.calibrate.score;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.score.RecallPassages.Kind;
import dev.kvshare.calibrate.score.RecallPassages.Passage;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/**
 * Asks a model for the numbers in {@link RecallPassages} and compares its answers under a plan with
 * those of the unshared model. The prompt runs as in generation, whatever the plan says about that.
 * Behind it the tokens of the right answer run at once: greedy generation gives them exactly where
 * each is the most likely one behind those before it.
 *
 * <p>The unshared model runs once, when the first plan is judged; of its predictions those of the
 * answers are kept: B x A x V numbers for B passages with answers of A tokens and a vocabulary of
 * V. The cache of the passages that run at once takes up to 512 MiB, or that of one passage.
 */
public final class RecallMeter implements AutoCloseable {
  private static final int BATCH_TOKENS = 4096;
  private static final long BATCH_BYTES = 512L << 20;

  /** The unshared model finds one in so many numbers, or the kind says nothing. */
  private static final int TELLING = 5;

  private final Decoder decoder;
  private final int tokens;
  private final Map<Kind, List<List<Passage>>> batches = new EnumMap<>(Kind.class);
  private final IntConsumer done;
  private final NDManager manager;
  private final Map<Kind, List<NDArray>> expected = new EnumMap<>(Kind.class);
  private final Map<Kind, Sums> unshared = new EnumMap<>(Kind.class);

  /** Sums over the answers to some passages. */
  private record Sums(int passages, int exact, long positions, double likelihood, double kl) {
    static final Sums NONE = new Sums(0, 0, 0, 0, 0);

    boolean tells() {
      return TELLING * exact >= passages;
    }
  }

  /**
   * A meter that has not run yet.
   *
   * @param passages of every kind at least one; all equally long with their answers, and of one
   *     kind with equally long answers
   * @param done told the number of passages that ran, after each batch of them
   */
  public RecallMeter(Decoder decoder, Map<Kind, List<Passage>> passages, IntConsumer done) {
    this.decoder = decoder;
    this.done = done;
    Passage any = passages.get(Kind.SINGLE_KEY).get(0);
    this.tokens = any.prompt().size() + any.answer().size();
    long bytes =
        decoder
            .spec()
            .kvUse(Plan.identity(decoder.spec().layers()))
            .unsharedBytes(tokens, Float.BYTES);
    int most = (int) Math.max(1, Math.min(BATCH_TOKENS / tokens, BATCH_BYTES / bytes));
    for (Kind kind : Kind.values()) {
      List<Passage> rows = passages.get(kind);
      List<List<Passage>> cut = new ArrayList<>();
      for (int from = 0; from < rows.size(); from += most) {
        cut.add(rows.subList(from, Math.min(rows.size(), from + most)));
      }
      batches.put(kind, cut);
    }
    this.manager = decoder.newManager();
  }

  /**
   * Asks under a plan.
   *
   * @param plan one that the decoder runs; what is kept of the passages is as in generation
   * @param weightsOrNull refitted weights in place of the checkpoint's
   */
  public Recall judge(Plan plan, RefittedWeights weightsOrNull) {
    runUnshared();
    try (WeightOverrides overrides =
        weightsOrNull == null ? null : decoder.newOverrides(weightsOrNull)) {
      CacheOptions options = new CacheOptions(plan, overrides);
      return Recall.of(tokens, answers(Kind.SINGLE_KEY, options), answers(Kind.FOUR_KEYS, options));
    }
  }

  private void runUnshared() {
    CacheOptions options = CacheOptions.of(Plan.identity(decoder.spec().layers()));
    for (Kind kind : Kind.values()) {
      if (!unshared.containsKey(kind)) {
        List<NDArray> found = new ArrayList<>();
        Sums sums = Sums.NONE;
        for (List<Passage> rows : batches.get(kind)) {
          found.add(run(rows, options, manager));
          sums = plus(sums, rows, found.get(found.size() - 1), null);
        }
        expected.put(kind, found);
        unshared.put(kind, sums);
      }
    }
  }

  private Recall.Answers answers(Kind kind, CacheOptions options) {
    Sums before = unshared.get(kind);
    double likelihood = before.likelihood() / before.positions();
    if (!before.tells()) {
      return new Recall.Answers(before.passages(), before.exact(), likelihood, null, null, null);
    }
    Sums sums = Sums.NONE;
    for (int batch = 0; batch < batches.get(kind).size(); batch++) {
      List<Passage> rows = batches.get(kind).get(batch);
      try (NDManager scratch = decoder.newManager()) {
        sums = plus(sums, rows, run(rows, options, scratch), expected.get(kind).get(batch));
      }
    }
    return new Recall.Answers(
        before.passages(),
        before.exact(),
        likelihood,
        sums.exact(),
        sums.likelihood() / sums.positions(),
        sums.kl() / sums.positions());
  }

  /**
   * The predictions of the tokens of the answers.
   *
   * @return log-probabilities, float32 [B, A, V], in {@code target}
   */
  private NDArray run(List<Passage> rows, CacheOptions options, NDManager target) {
    int answer = rows.get(0).answer().size();
    PromptBatch prompts =
        new PromptBatch(
            rows.stream().map(row -> row.prompt().stream().mapToInt(id -> id).toArray()).toList());
    try (NDManager scratch = decoder.newManager();
        DecodingCache cache = decoder.newCache(options, null, rows.size(), tokens)) {
      NDArray last = decoder.prefill(prompts, cache, prompts.longest());
      last.attach(scratch);
      NDArray logits = last.expandDims(1);
      if (answer > 1) {
        NDArray ids = scratch.create(ids(rows, answer - 1), new Shape(rows.size(), answer - 1));
        logits = logits.concat(decoder.head(decoder.hidden(ids, cache)), 1);
      }
      NDArray found = logits.logSoftmax(2);
      found.attach(target);
      done.accept(rows.size());
      return found;
    }
  }

  /** Adds what was found; {@code expectedOrNull} has the unshared model's predictions. */
  private Sums plus(Sums sums, List<Passage> rows, NDArray found, NDArray expectedOrNull) {
    int answer = rows.get(0).answer().size();
    long[] right = ids(rows, answer);
    try (NDManager scratch = decoder.newManager()) {
      scratch.tempAttachAll(found);
      NDArray targets = scratch.create(right, new Shape(rows.size(), answer, 1));
      double likelihood = sum(found.gather(targets, 2));
      double kl = 0;
      if (expectedOrNull != null) {
        scratch.tempAttachAll(expectedOrNull);
        kl = sum(expectedOrNull.exp().mul(expectedOrNull.sub(found)).sum(new int[] {2}));
      }
      long[] likeliest = found.argMax(2).toType(DataType.INT64, false).toLongArray();
      int wrong =
          (int)
              IntStream.range(0, right.length)
                  .filter(i -> right[i] != likeliest[i])
                  .map(i -> i / answer)
                  .distinct()
                  .count();
      return new Sums(
          sums.passages() + rows.size(),
          sums.exact() + rows.size() - wrong,
          sums.positions() + right.length,
          sums.likelihood() + likelihood,
          sums.kl() + kl);
    }
  }

  private static double sum(NDArray values) {
    double sum = 0;
    for (float value : values.toFloatArray()) {
      sum += value;
    }
    return sum;
  }

  /** The first {@code count} tokens of each answer, row-major. */
  private static long[] ids(List<Passage> rows, int count) {
    return rows.stream()
        .flatMap(passage -> passage.answer().stream().limit(count))
        .mapToLong(id -> id)
        .toArray();
  }

  @Override
  public void close() {
    manager.close();
  }
}
