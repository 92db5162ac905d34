package dev.kvshare.calibrate.score;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.score.RecallPassages.Kind;
import dev.kvshare.calibrate.score.RecallPassages.Passage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
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
 * <p>The unshared model reads the prompts when the first plan is judged, and its keys and values
 * stay if those of all passages take up to 1 GiB. Under plans with an exact prefill only answers
 * run then ({@link Decoder#reduce}); where the keys and values would take more, the prompts run
 * once for each call. Of the unshared predictions those of the answers are kept: B x A x V numbers
 * for B passages with answers of A tokens and a vocabulary of V. The cache of the passages that run
 * at once takes up to 512 MiB, or that of one passage.
 */
public final class RecallMeter implements AutoCloseable {
  /** So many bytes of what the unshared model read stay, until all that is asked has had them. */
  public static final long KEPT_BYTES = 1L << 30;

  private static final int BATCH_TOKENS = 4096;
  private static final long BATCH_BYTES = 512L << 20;

  /** The unshared model finds one in so many numbers, or the kind says nothing. */
  private static final int TELLING = 5;

  private final Decoder decoder;
  private final int tokens;
  private final boolean keepsPrompts;
  private final Map<Kind, List<Batch>> batches = new EnumMap<>(Kind.class);
  private final IntConsumer done;
  private final NDManager manager;

  /** Passages of one kind that run together. */
  private static final class Batch {
    final List<Passage> rows;
    KvCache read;
    NDArray lastLogits;
    NDArray expected;
    Sums unshared;

    Batch(List<Passage> rows) {
      this.rows = rows;
    }

    PromptBatch prompts() {
      return new PromptBatch(
          rows.stream().map(row -> row.prompt().stream().mapToInt(id -> id).toArray()).toList());
    }

    void forget() {
      if (read != null) {
        read.close();
        lastLogits.close();
        read = null;
      }
    }
  }

  /** Sums over the answers to some passages. */
  private record Sums(int passages, int exact, long positions, double likelihood, double kl) {
    static final Sums NONE = new Sums(0, 0, 0, 0, 0);

    boolean tells() {
      return TELLING * exact >= passages;
    }

    Sums plus(Sums other) {
      return new Sums(
          passages + other.passages,
          exact + other.exact,
          positions + other.positions,
          likelihood + other.likelihood,
          kl + other.kl);
    }
  }

  /**
   * A meter that has not run yet.
   *
   * @param passages of every kind at least one; all equally long with their answers, and of one
   *     kind with equally long answers
   * @param done told the number of passages whose prompts ran, after each batch of them
   */
  public RecallMeter(Decoder decoder, Map<Kind, List<Passage>> passages, IntConsumer done) {
    this.decoder = decoder;
    this.done = done;
    Passage any = passages.get(Kind.SINGLE_KEY).get(0);
    this.tokens = any.prompt().size() + any.answer().size();
    int all = passages.values().stream().mapToInt(List::size).sum();
    this.keepsPrompts = bytes(decoder.spec(), tokens) * all <= KEPT_BYTES;
    int most = atOnce(decoder.spec(), tokens);
    for (Kind kind : Kind.values()) {
      List<Passage> rows = passages.get(kind);
      List<Batch> cut = new ArrayList<>();
      for (int from = 0; from < rows.size(); from += most) {
        cut.add(new Batch(rows.subList(from, Math.min(rows.size(), from + most))));
      }
      batches.put(kind, cut);
    }
    this.manager = decoder.newManager();
  }

  /** How many texts of so many tokens run together. */
  public static int atOnce(ModelSpec spec, int tokens) {
    return (int) Math.max(1, Math.min(BATCH_TOKENS / tokens, BATCH_BYTES / bytes(spec, tokens)));
  }

  private static long bytes(ModelSpec spec, int tokens) {
    return spec.kvUse(spec.plan()).unsharedBytes(tokens, Float.BYTES);
  }

  /**
   * Asks under a plan.
   *
   * @param plan one that the decoder runs; what is kept of the passages is as in generation
   * @param weightsOrNull refitted weights in place of the checkpoint's
   */
  public Recall judge(Plan plan, RefittedWeights weightsOrNull) {
    return judge(List.of(plan), weightsOrNull).get(0);
  }

  /** Asks under each of some plans. */
  public List<Recall> judge(List<Plan> plans, RefittedWeights weightsOrNull) {
    try (WeightOverrides overrides =
        weightsOrNull == null ? null : decoder.newOverrides(weightsOrNull)) {
      return judge(plans.stream().map(plan -> new CacheOptions(plan, overrides)).toList());
    }
  }

  private List<Recall> judge(List<CacheOptions> asked) {
    List<Recall.Answers> single = answers(batches.get(Kind.SINGLE_KEY), asked);
    List<Recall.Answers> four = answers(batches.get(Kind.FOUR_KEYS), asked);
    return IntStream.range(0, asked.size())
        .mapToObj(i -> Recall.of(tokens, single.get(i), four.get(i)))
        .toList();
  }

  /** The answers to one kind, for each of those that are asked. */
  private List<Recall.Answers> answers(List<Batch> kind, List<CacheOptions> asked) {
    kind.forEach(this::runUnshared);
    Sums before = kind.stream().map(batch -> batch.unshared).reduce(Sums.NONE, Sums::plus);
    double likelihood = before.likelihood() / before.positions();
    if (!before.tells()) {
      Recall.Answers none =
          new Recall.Answers(before.passages(), before.exact(), likelihood, null, null, null);
      return Collections.nCopies(asked.size(), none);
    }
    Sums[] sums = new Sums[asked.size()];
    Arrays.fill(sums, Sums.NONE);
    for (Batch batch : kind) {
      for (int i = 0; i < sums.length; i++) {
        try (NDManager scratch = decoder.newManager()) {
          NDArray found = run(batch, asked.get(i), scratch);
          sums[i] = sums[i].plus(sums(batch.rows, found, batch.expected));
        }
      }
      if (!keepsPrompts) {
        batch.forget();
      }
    }
    return Arrays.stream(sums)
        .map(
            found ->
                new Recall.Answers(
                    before.passages(),
                    before.exact(),
                    likelihood,
                    found.exact(),
                    found.likelihood() / found.positions(),
                    found.kl() / found.positions()))
        .toList();
  }

  private void runUnshared(Batch batch) {
    if (batch.expected == null) {
      Plan plan = Plan.identity(decoder.spec().layers());
      boolean exact = decoder.spec().isTrainedUnshared();
      CacheOptions options = CacheOptions.of(exact ? plan.withPrefill(Prefill.EXACT) : plan);
      batch.expected = run(batch, options, manager);
      batch.unshared = sums(batch.rows, batch.expected, null);
      if (!keepsPrompts) {
        batch.forget();
      }
    }
  }

  /**
   * The predictions of the tokens of the answers.
   *
   * @return log-probabilities, float32 [B, A, V], in {@code target}
   */
  private NDArray run(Batch batch, CacheOptions options, NDManager target) {
    PromptBatch prompts = batch.prompts();
    int longest = prompts.longest();
    if (options.plan().prefill() == Prefill.EXACT) {
      if (batch.read == null) {
        CacheOptions own = CacheOptions.of(decoder.spec().plan());
        batch.read = decoder.newCache(own, prompts.size(), longest);
        batch.lastLogits = decoder.prefill(prompts, batch.read, longest);
        done.accept(batch.rows.size());
      }
      try (DecodingCache cache = decoder.newCache(options, null, prompts.size(), tokens)) {
        decoder.reduce(batch.read, cache);
        return answered(batch.rows, batch.lastLogits, cache, target);
      }
    }
    try (DecodingCache cache = decoder.newCache(options, null, prompts.size(), tokens);
        NDArray last = decoder.prefill(prompts, cache, longest)) {
      done.accept(batch.rows.size());
      return answered(batch.rows, last, cache, target);
    }
  }

  /** The same behind prompts of which the last tokens gave logits float32 [B, V]. */
  private NDArray answered(
      List<Passage> rows, NDArray last, DecodingCache cache, NDManager target) {
    int answer = rows.get(0).answer().size();
    try (NDManager scratch = decoder.newManager();
        NDArray first = last.expandDims(1)) {
      first.attach(scratch);
      NDArray logits = first;
      if (answer > 1) {
        NDArray ids = scratch.create(ids(rows, answer - 1), new Shape(rows.size(), answer - 1));
        logits = first.concat(decoder.head(decoder.hidden(ids, cache)), 1);
      }
      NDArray found = logits.logSoftmax(2);
      found.attach(target);
      return found;
    }
  }

  /** What was found; {@code expectedOrNull} has the unshared model's predictions. */
  private Sums sums(List<Passage> rows, NDArray found, NDArray expectedOrNull) {
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
      return new Sums(rows.size(), rows.size() - wrong, right.length, likelihood, kl);
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
    batches.values().forEach(kind -> kind.forEach(Batch::forget));
    manager.close();
  }
}
