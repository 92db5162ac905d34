package dev.kvshare.eval;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.MeasurementKey;
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.policy.Policy.ToolVersion;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.EvaluationReport.CacheSavings;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.Journal;
import dev.kvshare.eval.quality.PassageScore;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import dev.kvshare.eval.quality.Protocol;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.StreamMeter;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.recall.RecallItems;
import dev.kvshare.eval.recall.RecallReport;
import dev.kvshare.eval.recall.RecallRun;
import dev.kvshare.eval.recall.RecallSettings;
import dev.kvshare.eval.speed.ContextMeter;
import dev.kvshare.eval.speed.ContextReport;
import dev.kvshare.eval.speed.SpeedMeter;
import dev.kvshare.eval.speed.SpeedMeter.Speed;
import dev.kvshare.eval.tasks.TaskItem.Response;
import dev.kvshare.eval.tasks.TaskMeter;
import dev.kvshare.eval.tasks.TaskReport;
import dev.kvshare.eval.tasks.TaskSchema;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
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
  /** How the line ends that says what the quality of a policy with exact prefill leaves out. */
  private static final String EXACT_PROMPTS =
      " computes prompts exactly, which the quality does not show: passages have no prompt here, and all of their tokens ran under the plan. With --cache, half of a passage is a prompt.";

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
  private int passageTokens = PASSAGE_TOKENS;
  private int passageCount = PASSAGES;
  private int stride;
  private boolean baselines = true;
  private Path journal;
  private String command;
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
    return "%d passages of %d tokens%s%s"
        .formatted(
            passageCount,
            passageTokens,
            stride == 0 ? "" : ", one every " + stride,
            caches.isEmpty() ? "" : ", %s behind %d".formatted(caches, cachePrompt));
  }

  /** What is read; by default a text that comes along and that no calibration reads. */
  public Evaluator text(Corpus text) {
    corpus = text;
    return this;
  }

  /**
   * How the text is cut, from its start. Where the model's files put a BOS token before a text,
   * each passage begins with it.
   *
   * @param count most passages
   * @param tokens of a passage; each but the first is predicted
   */
  public Evaluator passages(int count, int tokens) {
    passageCount = count;
    passageTokens = tokens;
    return this;
  }

  /**
   * Lets passages overlap, so that tokens are predicted behind a longer text: each passage but the
   * first scores its last tokens only.
   *
   * @param tokens from the start of a passage to that of the next; 0 for no overlap
   */
  public Evaluator stride(int tokens) {
    stride = tokens;
    return this;
  }

  /**
   * Keeps what was measured, the speed aside, in a file; a run that was killed goes on from there.
   *
   * @param file null to keep nothing
   */
  public Evaluator journal(Path file) {
    journal = file;
    return this;
  }

  /** The command that a report says it was made by. */
  public Evaluator command(String words) {
    command = words;
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

  /**
   * Whether simple baselines that keep as few bytes are measured beside policies; without cache
   * policies they are, unless told otherwise. Their speed is not measured.
   */
  public Evaluator baselines(boolean wanted) {
    baselines = wanted;
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
    Protocol protocol = protocol();
    try (Variants variants = variants()) {
      addBaselines(variants, protocol.passages().passages().get(0).length, Prefill.PLAN);
      return complete(protocol, quality(protocol, variants), variants);
    }
  }

  /** Measures the rows of {@link #run} without the speed. */
  public List<Row> quality() {
    try (Variants variants = variants()) {
      return quality(protocol(), variants);
    }
  }

  private List<Row> quality(Protocol protocol, Variants variants) {
    List<int[]> passages = protocol.passages().passages();
    int length = passages.get(0).length;
    boolean stepwise = variants.distinct.stream().anyMatch(each -> each.cachePolicy() != null);
    QualityMeter.Limits limits =
        !stepwise ? QualityMeter.Limits.DEFAULT : QualityMeter.Limits.STEPWISE;
    ObjectNode settings = settings().set("text", protocol.object());
    Journal kept = journal == null ? Journal.none() : Journal.open(journal, settings);
    QualityMeter meter = new QualityMeter(decoder, limits, listener, kept);
    List<List<PassageScore>> scores =
        meter.measure(passages, variants.distinct, protocol.unscored(0), protocol.unscored(1));
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
    try (Variants variants = variants()) {
      return complete(protocol(), rows, variants);
    }
  }

  private EvaluationReport complete(Protocol protocol, List<Row> rows, Variants variants) {
    Passages passages = protocol.passages();
    List<String> warnings = new ArrayList<>(passages.notes());
    List<String> remarks = new ArrayList<>();
    List<Row> timed = speed == null ? rows : timed(passages, rows, variants, warnings);
    warnings.addAll(overlapWarnings());
    for (EvaluatedPolicy policy : policies) {
      if (protocol.unscored(1) == 1 && policy.policy().plan().prefill() == Prefill.EXACT) {
        remarks.add(policy.name() + EXACT_PROMPTS);
      }
    }
    ObjectNode run = settings();
    if (speed != null) {
      run.putPOJO("speed", speed);
    }
    run.put("command", command);
    return new EvaluationReport(protocol, run, timed, warnings, remarks);
  }

  /** What besides the text decides the quality that is measured. */
  private ObjectNode settings() {
    MeasurementKey key = model.key(null);
    ObjectNode run = Report.newRow();
    run.put("tool", "kvshare " + ToolVersion.of(Evaluator.class).version());
    run.put("model", key.fingerprint());
    run.put("dtype", key.computeType().name().toLowerCase(Locale.ROOT));
    run.put("weights", key.weightForm().name().toLowerCase(Locale.ROOT));
    run.put("device", key.device());
    run.put("threads", PyTorchRuntime.threads());
    for (EvaluatedPolicy policy : policies) {
      run.withArray("policies")
          .addObject()
          .put("name", policy.name())
          .put("sha256", digest(policy))
          .put("repair", policy.file() != null);
    }
    run.put("baselines", baselines);
    caches.forEach(cache -> run.withArray("caches").add(cache.description()));
    return run;
  }

  private static String digest(EvaluatedPolicy policy) {
    return Digest.sha256(PolicyFile.toBytes(policy.policy()));
  }

  /**
   * Hides facts in the text, and asks for them under the unshared model and each policy when the
   * text has been read. Baselines compute prompts exactly, where the model can. A journal may be
   * used again with other policies, tasks and lengths.
   *
   * @throws EvaluationException if the text is too short, a context is too long for the model, or
   *     too short for a task
   */
  public RecallReport recall(RecallSettings asked) {
    ObjectNode run = settings().put("seed", asked.seed()).put("text", text().name());
    run.put("text_sha256", text().sha256());
    ObjectNode kept = run.deepCopy();
    kept.put("recall", RecallItems.VERSION).remove(List.of("policies", "baselines", "caches"));
    Journal answers = journal == null ? Journal.none() : Journal.open(journal, kept);
    RecallRun recall = new RecallRun(model, text(), asked, answers, listener);
    Prefill prefill = decoder.spec().isTrainedUnshared() ? Prefill.EXACT : Prefill.PLAN;
    List<RecallReport.Row> rows = new ArrayList<>();
    for (int context : asked.contexts()) {
      try (Variants variants = variants()) {
        addBaselines(variants, context, prefill);
        List<RecallReport.Row> distinct =
            recall.measure(
                context,
                variants.distinct.stream().map(this::named).toList(),
                new KeptBytes(model)::fraction);
        for (int row = 0; row < variants.rows.size(); row++) {
          Variant shown = variants.rows.get(row);
          rows.add(distinct.get(variants.places.get(row)).of(shown, Baselines.is(shown)));
        }
      }
    }
    asked.tasks().forEach(task -> run.withArray("tasks").add(task.title()));
    asked.contexts().forEach(run.withArray("contexts")::add);
    run.put("passages", asked.passages()).put("command", command);
    return new RecallReport(rows, asked, run, overlapWarnings());
  }

  private List<String> overlapWarnings() {
    return policies.stream()
        .flatMap(policy -> policy.overlapWarning(text(), datasets).stream())
        .toList();
  }

  /** A variant with what decides its answers, policies by their content. */
  private RecallRun.Named named(Variant variant) {
    String key =
        policies.stream()
            .filter(policy -> policy.name().equals(variant.policy()))
            .map(policy -> digest(policy) + (policy.file() == null ? ", not repaired" : ""))
            .findFirst()
            .orElse(variant.policy() + " " + variant.options().plan().windows());
    String cache = variant.cachePolicy() == null ? "" : ", " + variant.cachePolicy().description();
    return new RecallRun.Named(variant, key + cache, Baselines.is(variant));
  }

  /**
   * Asks the items of tasks under the unshared model and each policy.
   *
   * @param limit most items of each task; fewer than all give no result to be compared
   * @param newTokens most tokens of an answer that the model writes
   * @throws EvaluationException if an item does not fit the model, or cache policies were given
   */
  public TaskReport tasks(List<TaskSchema.Items> tasks, int limit, int newTokens) {
    if (!caches.isEmpty()) {
      throw new EvaluationException("Tasks are asked without cache policies. Leave these out.");
    }
    ObjectNode settings = settings().put("new_tokens", newTokens);
    for (TaskSchema.Items task : tasks) {
      settings
          .withArray("tasks")
          .addObject()
          .put("schema", task.schema().title())
          .put("sha256", task.sha256());
    }
    Journal kept = journal == null ? Journal.none() : Journal.open(journal, settings);
    TaskMeter meter = new TaskMeter(model, listener, kept, newTokens);
    try (Variants variants = variants()) {
      List<TaskReport.Result> results = new ArrayList<>();
      for (TaskSchema.Items task : tasks) {
        int count = Math.min(limit, task.items().size());
        List<List<Response>> found = meter.measure(task, count, variants.distinct);
        results.add(new TaskReport.Result(task, variants.places.stream().map(found::get).toList()));
      }
      List<String> names = new ArrayList<>();
      variants.rows.forEach(row -> names.add(row.policy()));
      return new TaskReport(results, names, settings.put("command", command));
    }
  }

  /**
   * Measures speed and memory of the unshared model and each policy at several lengths of text. The
   * text of this evaluation is not read. A journal keeps what was measured, times too: remove it to
   * measure them again.
   *
   * @throws EvaluationException if a context or the budget fits neither model nor memory
   */
  public ContextReport speedByContext(ContextMeter.Settings settings) {
    ContextMeter meter = new ContextMeter(model, settings, listener);
    ObjectNode run = settings().set("speed_by_context", meter.key());
    Journal kept = journal == null ? Journal.none() : Journal.open(journal, run);
    try (Variants variants = variants()) {
      return meter.measure(variants.distinct, kept, run.put("command", command));
    }
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
    EvaluationText.Stream read = new EvaluationText(model, text()).stream(tokens, part);
    StreamMeter meter = new StreamMeter(decoder, listener);
    try (Variants variants = variants()) {
      return new StreamMeter.Outcome(
          read.protocol,
          variants.rows.stream().map(variant -> meter.measure(read.ids, variant, part)).toList());
    }
  }

  private Variants variants() {
    return new Variants(decoder, policies, caches);
  }

  private void addBaselines(Variants variants, int length, Prefill prefill) {
    if (baselines && caches.isEmpty()) {
      variants.addBaselines(length, prefill);
    }
  }

  private Protocol protocol() {
    return new EvaluationText(model, text())
        .protocol(passageCount, passageTokens, stride, caches.isEmpty() ? null : cachePrompt);
  }

  private Corpus text() {
    if (corpus == null) {
      corpus = datasets.find(Datasets.DEFAULT_EVALUATION).load();
    }
    return corpus;
  }

  private List<Row> timed(
      Passages passages, List<Row> rows, Variants variants, List<String> warnings) {
    List<Variant> timed = variants.distinct.stream().filter(each -> !Baselines.is(each)).toList();
    int[] text = passages.passages().stream().flatMapToInt(Arrays::stream).toArray();
    List<Speed> speeds = new SpeedMeter(decoder, speed, listener).measure(text, timed, warnings);
    return IntStream.range(0, rows.size())
        .mapToObj(
            row ->
                Baselines.is(variants.rows.get(row))
                    ? rows.get(row)
                    : rows.get(row)
                        .with(rows.get(row).policy(), speeds.get(variants.places.get(row))))
        .toList();
  }

  private Row row(
      Variant variant,
      int length,
      List<PassageScore> scores,
      List<PassageScore> unshared,
      long compressedBytes) {
    KeptBytes bytes = new KeptBytes(model);
    long all = bytes.unshared(length);
    long owned = bytes.owned(variant, length);
    double sharing = (double) owned / all;
    CacheSavings cache = null;
    long kept = bytes.kept(variant, length, compressedBytes);
    if (!caches.isEmpty()) {
      cache = new CacheSavings(variant.cache(), sharing, (double) kept / owned, kept);
    }
    double tokens = scores.stream().mapToLong(PassageScore::tokens).sum();
    return new Row(
        variant.policy(),
        PassageScore.perplexity(scores),
        scores == unshared ? new Estimate(1, 0) : PassageScore.ratio(scores, unshared),
        scores.stream().mapToDouble(PassageScore::divergence).sum() / tokens,
        scores.stream().mapToLong(PassageScore::agreements).sum() / tokens,
        cache == null ? (double) kept / all : sharing * cache.policyFraction(),
        Math.round((double) (cache == null ? kept : owned) / length),
        cache,
        null);
  }
}
