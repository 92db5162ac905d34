package dev.kvshare.eval;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.EvaluationReport.CacheSavings;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.PassageScore;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.StreamMeter;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.speed.SpeedMeter;
import dev.kvshare.eval.speed.SpeedMeter.Speed;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * Compares policies of one model side by side: perplexity, divergence from the unshared model, size
 * of the KV cache and speed. The entry of this module:
 *
 * <pre>{@code
 * try (LoadedModel model = LoadedModel.open(path, DecoderOptions.DEFAULT)) {
 *   EvaluationReport report =
 *       Evaluator.of(model).text(corpus).policy(Path.of("policy.json")).run();
 *   System.out.print(report.report().write(Report.Format.TEXT));
 * }
 * }</pre>
 *
 * <p>Each policy runs with its refitted weights, which are read for the time of the measurement. By
 * default 12 passages of 512 tokens of a text that comes along are measured, and the speed.
 */
public final class Evaluator {
  /** Tokens of a passage unless told otherwise. */
  public static final int PASSAGE_TOKENS = 512;

  /** The most passages unless told otherwise. */
  public static final int PASSAGES = 12;

  private static final int STREAM_PART = 2000;

  private final LoadedModel model;
  private final Decoder decoder;
  private List<EvaluatedPolicy> policies = new ArrayList<>();
  private Datasets datasets = Datasets.ofUser(System.getenv());
  private Corpus corpus;
  private EvaluationPassages cut = new EvaluationPassages(PASSAGE_TOKENS, PASSAGES);
  private List<CachePolicy> caches = List.of();
  private int cachePrompt;
  private SpeedMeter.Settings speed = SpeedMeter.Settings.DEFAULT;
  private QualityMeter.Listener listener = QualityMeter.Listener.SILENT;

  private Evaluator(LoadedModel model) {
    this.model = model;
    this.decoder = model.decoder();
  }

  /** Policies of this model, which stays open. */
  public static Evaluator of(LoadedModel model) {
    return new Evaluator(model);
  }

  public LoadedModel model() {
    return model;
  }

  public List<EvaluatedPolicy> policies() {
    return List.copyOf(policies);
  }

  public QualityMeter.Listener listener() {
    return listener;
  }

  /** What besides model, text and policies decides the quality that is measured. */
  public String key() {
    return "%d passages of %d tokens%s"
        .formatted(
            cut.passages(),
            cut.tokens(),
            caches.isEmpty() ? "" : ", %s behind %d".formatted(caches, cachePrompt));
  }

  /** What is read; by default a text that comes along and that no calibration reads. */
  public Evaluator text(Corpus text) {
    corpus = text;
    return this;
  }

  /**
   * How the text is cut, from its start.
   *
   * @param count most passages
   * @param tokens of a passage; each but the first is predicted
   */
  public Evaluator passages(int count, int tokens) {
    cut = new EvaluationPassages(tokens, count);
    return this;
  }

  /**
   * Adds a policy file, with its refitted weights.
   *
   * @throws dev.kvshare.apply.policy.PolicyException if it is not usable or of another model
   */
  public Evaluator policy(Path file) {
    policies.add(EvaluatedPolicy.read(file, model, false));
    return this;
  }

  /** Sets the policies to compare, in the order of the rows. */
  public Evaluator policies(List<EvaluatedPolicy> compared) {
    policies = new ArrayList<>(compared);
    return this;
  }

  /**
   * Measures every plan under these cache policies too. Each passage is read as a generation would:
   * its first tokens are the prompt, then the others follow one at a time, and the cache policy
   * drops what it drops on the way. Only the tokens behind the prompt are scored, in every row.
   *
   * @param cachePolicies besides the cache that keeps everything; empty for this alone
   * @param promptTokens tokens of each passage that are the prompt; 0 for half of it
   */
  public Evaluator caches(List<CachePolicy> cachePolicies, int promptTokens) {
    if (promptTokens < 0) {
      throw new IllegalArgumentException("a prompt of " + promptTokens + " tokens");
    }
    caches = List.copyOf(cachePolicies);
    cachePrompt = promptTokens;
    return this;
  }

  /** How the speed is measured; null to leave it out. */
  public Evaluator speed(SpeedMeter.Settings settings) {
    speed = settings;
    return this;
  }

  /** Where calibration texts are looked up for the warning of an overlap; else the user's. */
  public Evaluator datasets(Datasets known) {
    datasets = known;
    return this;
  }

  /** Who hears how far it is. */
  public Evaluator listener(QualityMeter.Listener hears) {
    listener = hears;
    return this;
  }

  /**
   * Measures the unshared model and each policy, each with the cache that keeps everything and with
   * each cache policy.
   *
   * @throws dev.kvshare.datasets.DatasetException if the text is too short
   * @throws EvaluationException if text and model do not fit each other, or a likelihood is not a
   *     number
   */
  public EvaluationReport run() {
    Passages passages = passages();
    try (Variants variants = new Variants()) {
      return complete(passages, quality(passages, variants), variants);
    }
  }

  /** Measures the rows of {@link #run} without the speed. */
  public List<Row> quality() {
    try (Variants variants = new Variants()) {
      return quality(passages(), variants);
    }
  }

  private List<Row> quality(Passages passages, Variants variants) {
    int length = passages.passages().get(0).length;
    QualityMeter.Limits limits =
        caches.isEmpty() ? QualityMeter.Limits.DEFAULT : QualityMeter.Limits.STEPWISE;
    QualityMeter meter = new QualityMeter(decoder, limits, listener);
    List<List<PassageScore>> scores =
        meter.measure(passages.passages(), variants.distinct, unscored(length));
    List<Row> rows = new ArrayList<>();
    for (int row = 0; row < variants.rows.size(); row++) {
      int place = variants.places.get(row);
      List<PassageScore> found = scores.get(place);
      for (int passage = 0; passage < found.size(); passage++) {
        if (!Double.isFinite(found.get(passage).loss())) {
          throw new EvaluationException(
              "The likelihood of passage %d under %s is not a number. Check the weights with `kvshare inspect`, or use --dtype float32."
                  .formatted(passage + 1, variants.rows.get(row).title()));
        }
      }
      long bytes = meter.compressedBytes(place);
      rows.add(
          row(
              variants.rows.get(row),
              length,
              /* scores= */ found,
              /* unshared= */ scores.get(0),
              bytes));
    }
    return rows;
  }

  /**
   * Makes a report of rows that were measured before, and measures the speed of all of them where
   * that was not left out.
   *
   * @param rows as {@link #run} gives them, in their order
   * @throws EvaluationException if text and model do not fit each other
   */
  public EvaluationReport complete(List<Row> rows) {
    try (Variants variants = new Variants()) {
      return complete(passages(), rows, variants);
    }
  }

  private EvaluationReport complete(Passages passages, List<Row> rows, Variants variants) {
    List<String> warnings = new ArrayList<>(passages.notes());
    List<Row> timed = speed == null ? rows : timed(passages, rows, variants, warnings);
    for (EvaluatedPolicy policy : policies) {
      policy.overlapWarning(text(), datasets).ifPresent(warnings::add);
    }
    int unscored = unscored(passages.passages().get(0).length);
    for (EvaluatedPolicy policy : policies) {
      if (unscored == 1 && policy.policy().plan().prefill() == Prefill.EXACT) {
        warnings.add(
            "%s computes prompts exactly, which the quality does not show: passages have no prompt here, and all of their tokens ran under the plan. With --cache, half of a passage is a prompt."
                .formatted(policy.name()));
      }
    }
    return new EvaluationReport(passages, unscored, timed, warnings);
  }

  /**
   * Reads the first tokens of the text as one long text, under each plan with the whole cache and
   * with each cache policy, and scores each 2,000 of them.
   *
   * @throws EvaluationException if the text does not fit the model
   */
  public StreamMeter.Outcome stream(int tokens) {
    return stream(tokens, STREAM_PART);
  }

  StreamMeter.Outcome stream(int tokens, int most) {
    int part = Math.min(most, tokens);
    Passages parts = new EvaluationPassages(part, tokens / part).cut(text(), model::encode);
    checkVocabulary(parts);
    int[] text = parts.passages().stream().flatMapToInt(Arrays::stream).toArray();
    int learned = decoder.spec().learnedPositions();
    if (learned > 0 && text.length > learned) {
      throw new EvaluationException(
          "A text of %d tokens is longer than the %d positions that this model has learned. Use a shorter one."
              .formatted(text.length, learned));
    }
    StreamMeter meter = new StreamMeter(decoder, listener);
    try (Variants variants = new Variants()) {
      return new StreamMeter.Outcome(
          parts,
          variants.rows.stream().map(variant -> meter.measure(text, variant, part)).toList());
    }
  }

  /** The text, cut and checked. */
  private Passages passages() {
    Passages passages = cut.cut(text(), model::encode);
    checkVocabulary(passages);
    int length = passages.passages().get(0).length;
    int most = decoder.spec().maxPositions();
    if (length > most) {
      throw new EvaluationException(
          "A passage of %d tokens is longer than the %d positions that the model was made for. Use --passage-tokens %d."
              .formatted(length, most, most));
    }
    return passages;
  }

  private Corpus text() {
    if (corpus == null) {
      corpus = datasets.find(Datasets.DEFAULT_EVALUATION).load();
    }
    return corpus;
  }

  private void checkVocabulary(Passages passages) {
    int vocabulary = decoder.spec().vocabularySize();
    if (passages.highestId() >= vocabulary) {
      throw new EvaluationException(
          "The text %s has the token id %d, but the vocabulary of the model ends at %d. Use token ids of this model's tokenizer."
              .formatted(passages.name(), passages.highestId(), vocabulary - 1));
    }
  }

  /** Tokens at the start of a passage that are not scored: the first, or the prompt. */
  private int unscored(int length) {
    if (caches.isEmpty()) {
      return 1;
    }
    int prompt = cachePrompt == 0 ? length / 2 : cachePrompt;
    if (prompt < 1 || prompt >= length) {
      throw new EvaluationException(
          "A prompt of %d tokens leaves nothing to score in a passage of %d. Use a shorter prompt or --passage-tokens %d."
              .formatted(prompt, length, 2 * prompt));
    }
    return prompt;
  }

  private List<Row> timed(
      Passages passages, List<Row> rows, Variants variants, List<String> warnings) {
    int[] running = passages.passages().stream().flatMapToInt(Arrays::stream).toArray();
    int room = Math.max(1, decoder.spec().maxPositions() - speed.newTokens());
    int length = Math.min(Math.min(speed.promptTokens(), running.length), room);
    if (length < speed.promptTokens()) {
      warnings.add(
          "The speed was measured with a prompt of %d tokens instead of %d: the text or the positions of the model end there."
              .formatted(length, speed.promptTokens()));
    }
    List<Speed> speeds =
        new SpeedMeter(decoder, speed, listener)
            .measure(Arrays.copyOf(running, length), variants.distinct);
    return IntStream.range(0, rows.size())
        .mapToObj(
            row -> rows.get(row).with(rows.get(row).policy(), speeds.get(variants.places.get(row))))
        .toList();
  }

  private Row row(
      Variant variant,
      int length,
      List<PassageScore> scores,
      List<PassageScore> unshared,
      long compressedBytes) {
    ModelSpec spec = decoder.spec();
    int bytesPerElement = model.key(null).computeType().bytes();
    long all = spec.kvUse(spec.plan()).unsharedBytes(length, bytesPerElement);
    long owned = spec.kvUse(variant.options().plan()).bytes(length, bytesPerElement);
    double sharing = (double) owned / all;
    CacheSavings cache = null;
    if (!caches.isEmpty()) {
      long kept = variant.cachePolicy() == null ? owned : compressedBytes;
      cache = new CacheSavings(variant.cache(), sharing, (double) kept / owned, kept);
    }
    double tokens = scores.stream().mapToLong(PassageScore::tokens).sum();
    return new Row(
        variant.policy(),
        PassageScore.perplexity(scores),
        scores == unshared ? new Estimate(1, 0) : PassageScore.ratio(scores, unshared),
        scores.stream().mapToDouble(PassageScore::divergence).sum() / tokens,
        scores.stream().mapToLong(PassageScore::agreements).sum() / tokens,
        cache == null ? sharing : sharing * cache.policyFraction(),
        Math.round((double) owned / length),
        cache,
        null);
  }

  /**
   * The rows of a report, the unshared model first, and what has to be run for them: rows that run
   * in the same way, as those of two schemes that give the same map, are measured once. Closing it
   * frees the refitted weights.
   */
  private final class Variants implements AutoCloseable {
    final List<Variant> rows = new ArrayList<>();

    /** What is measured; the first is the unshared model. */
    final List<Variant> distinct = new ArrayList<>();

    /** For each row the place in {@link #distinct} of what it shows. */
    final List<Integer> places = new ArrayList<>();

    private final Map<Variant, Integer> nameless = new HashMap<>();
    private final List<WeightOverrides> weights = new ArrayList<>();

    Variants() {
      try {
        add(null, CacheOptions.of(decoder.spec().plan()));
        for (EvaluatedPolicy evaluated : policies) {
          WeightOverrides refitted = evaluated.openWeights(decoder);
          weights.add(refitted);
          add(evaluated.name(), new CacheOptions(evaluated.policy().plan(), refitted));
        }
      } catch (RuntimeException | Error e) {
        close();
        throw e;
      }
    }

    private void add(String name, CacheOptions options) {
      add(new Variant(name, options, null));
      caches.forEach(cache -> add(new Variant(name, options, cache)));
    }

    private void add(Variant row) {
      rows.add(row);
      Variant run = new Variant(null, row.options(), row.cachePolicy());
      Integer known = nameless.putIfAbsent(run, distinct.size());
      places.add(known == null ? distinct.size() : known);
      if (known == null) {
        distinct.add(row);
      }
    }

    @Override
    public void close() {
      weights.stream().filter(Objects::nonNull).forEach(WeightOverrides::close);
    }
  }
}
