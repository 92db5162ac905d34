package dev.kvshare.calibrate;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.model.storage.OutputLock;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.schemes.Scheme;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.ToolVersion;
import dev.kvshare.apply.policy.Provenance.Candidate;
import dev.kvshare.apply.policy.Provenance.ComparedMethod;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.CalibrationListener.Phase;
import dev.kvshare.calibrate.capture.CalibrationListener.Progress;
import dev.kvshare.calibrate.capture.KvDistances;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SampleRunner;
import dev.kvshare.calibrate.capture.SimilarityMeter.LayerWork;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.repair.Repair;
import dev.kvshare.calibrate.repair.RepairOutcome;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.score.RecallMeter;
import dev.kvshare.calibrate.score.RecallPassages;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.Search;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchSettings;
import dev.kvshare.datasets.CalibrationSampler;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.Passages;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.function.IntFunction;
import java.util.stream.Stream;

/**
 * Finds a plan for a model, and repairs it: the entry of this module. Defaults are those of the
 * command line.
 *
 * <pre>{@code
 * CalibrationResult found = Calibration.of(Path.of("model.gguf")).keep("70%").method("auto").run();
 * found.write(Path.of("policy.json"));
 * }</pre>
 *
 * <p>Nothing is written before {@link CalibrationResult#write} except the journal, and nothing is
 * printed. An interrupt of the calibrating thread ends it with {@link
 * CalibrationException.Interrupted} and keeps the journal. Two runs on the same inputs with the
 * same number of threads give equal results. Not safe for use by several threads at once.
 */
public final class Calibration {
  /** Tokens of which the passages of the search are taken. */
  private static final int SEARCH_TEXT_TOKENS = 100_000;

  private static final int SHARING_REPAIR_TOKENS = 100_000;
  private static final int WINDOWED_REPAIR_TOKENS = 50_000;
  private static final int DEFAULT_CONTEXT = 2048;
  private static final int CHARACTERS_PER_TOKEN = 4;

  /**
   * Enough rows for matrix products at full speed on a CPU; more would run samples of candidates
   * that could have been dropped before.
   */
  private static final int DEFAULT_BATCH_TOKENS = 512;

  private final Path path;
  private final LoadedModel model;
  private DecoderOptions options = DecoderOptions.DEFAULT;
  private Corpus text;
  private KvStatistics statistics;
  private Path statisticsFile;
  private int samples = 30;
  private int tokensPerSample = 64;
  private Keep keep = Keep.usual();
  private Integer context;
  private String method = Method.NAMES.get(0);
  private IntFunction<Plan> plan;
  private SearchGoals.Window window = SearchGoals.Window.DEFAULT;
  private Prefill prefill;
  private double threshold = SearchSettings.Limits.DEFAULT_THRESHOLD;
  private double maxDivergence = Double.POSITIVE_INFINITY;
  private double maxPerplexityRise = Double.POSITIVE_INFINITY;
  private boolean acrossKinds;
  private boolean preferTop;
  private long seed;
  private boolean repairChosen;
  private RepairSettings repair = RepairSettings.DEFAULT;
  private Corpus repairText;
  private Integer repairTokens;
  private int recallContext = 1024;
  private CalibrationText passages;
  private long batchMemoryBytes = 2L << 30;
  private int batchTokens = DEFAULT_BATCH_TOKENS;
  private Path journal;
  private boolean resume;
  private CalibrationListener listener = CalibrationListener.NONE;
  private String command;

  private Calibration(Path path, LoadedModel model) {
    this.path = path;
    this.model = model;
  }

  /** Of a Hugging Face directory or a GGUF file, which is loaded for each run. */
  public static Calibration of(Path model) {
    return new Calibration(model, null);
  }

  /** Of a model that is loaded and stays so; it must be used by nothing else meanwhile. */
  public static Calibration of(LoadedModel model) {
    return new Calibration(null, model);
  }

  /** Sets how the model of a path runs. Default: in float32 on the CPU. */
  public Calibration options(DecoderOptions value) {
    options = value;
    return this;
  }

  /** Sets the calibration text. Default: the built-in data set of mixed text. */
  public Calibration text(Corpus value) {
    text = value;
    return this;
  }

  /** Starts from what was measured before, in place of samples of the text. */
  public Calibration statistics(KvStatistics value) {
    statistics = value;
    return this;
  }

  /** Starts from a file of {@link CalibrationResult#write(Path, Path, Path)}. */
  public Calibration statistics(Path file) {
    statisticsFile = file;
    return this;
  }

  /** Sets the number of samples. Default: 30. */
  public Calibration samples(int value) {
    samples = value;
    return this;
  }

  /** Sets the tokens of a sample; longer ones are cut. Default: 64. */
  public Calibration tokensPerSample(int value) {
    tokensPerSample = value;
    return this;
  }

  /** Sets how much of the KV cache is kept, as {@link Keep#parse} reads it. Default: 70 %. */
  public Calibration keep(String value) {
    return keep(Keep.parse(value));
  }

  /** Sets how much of the KV cache is kept. */
  public Calibration keep(Keep value) {
    keep = value;
    return this;
  }

  /**
   * Sets the tokens of the text of which so much is kept; matters where layers are windowed.
   * Default: 2,048, or the longest that the model takes.
   */
  public Calibration context(int tokens) {
    context = tokens;
    return this;
  }

  /**
   * Sets how the plan is found: one of {@link Method#NAMES} or a scheme by the name of its paper.
   * Default: auto.
   */
  public Calibration method(String value) {
    method = value;
    return this;
  }

  /**
   * Gives the plan, so that nothing is searched: it is measured and repaired.
   *
   * @param name of the plan, as the policy is to say it
   * @param ofLayers the plan for a number of layers
   */
  public Calibration plan(String name, IntFunction<Plan> ofLayers) {
    method = name;
    plan = ofLayers;
    return this;
  }

  /** Sets what windowed layers keep. Default: the first 4 and the last 64 tokens. */
  public Calibration window(int first, int last) {
    window = new SearchGoals.Window(first, last);
    return this;
  }

  /**
   * Sets how prompts are computed under the plan; what the search finds is the same. Default: exact
   * with the methods that repair (auto, share, windows), unless layers at the top are preferred;
   * else as the given plan, scheme or paper has it, that is under the plan.
   */
  public Calibration prefill(Prefill value) {
    prefill = value;
    return this;
  }

  /** Sets the mean cosine similarity that an accepted plan exceeds. Default: 0.5. */
  public Calibration threshold(double value) {
    threshold = value;
    return this;
  }

  /** Sets the most mean KL divergence in nats of a repaired plan. Default: no limit. */
  public Calibration maxDivergence(double nats) {
    maxDivergence = nats;
    return this;
  }

  /** Sets the most rise of the perplexity of a repaired plan, 0.05 for 5 %. Default: no limit. */
  public Calibration maxPerplexityRise(double fraction) {
    maxPerplexityRise = fraction;
    return this;
  }

  /** Lets layers with a sliding window and layers with full attention share with each other. */
  public Calibration acrossKinds(boolean value) {
    acrossKinds = value;
    return this;
  }

  /** Prefers to share the layers at the top, which a prompt skips. */
  public Calibration preferTop(boolean value) {
    preferTop = value;
    return this;
  }

  /** Sets the seed of random choices. Default: 0. */
  public Calibration seed(long value) {
    seed = value;
    return this;
  }

  /**
   * Repairs the plan so, or not at all where {@code null}. Default: as {@link
   * RepairSettings#DEFAULT}, and not with the orders of pairs (kvsharer and the baselines).
   */
  public Calibration repair(RepairSettings settingsOrNull) {
    repair = settingsOrNull;
    repairChosen = true;
    return this;
  }

  /** Sets the text of the repair. Default: the calibration text. */
  public Calibration repairText(Corpus value) {
    repairText = value;
    return this;
  }

  /** Sets the most tokens that the repair reads. Default: 100,000, with windowed layers 50,000. */
  public Calibration repairTokens(int value) {
    repairTokens = value;
    return this;
  }

  /**
   * Sets the tokens of the passages in which hidden numbers are asked for, 0 for none. Default:
   * 1,024; a model that takes less is asked at its longest text.
   */
  public Calibration recallContext(int tokens) {
    recallContext = tokens;
    return this;
  }

  /** Takes passages that are cut already: one text serves many calibrations of a loaded model. */
  public Calibration passages(CalibrationText value) {
    passages = value;
    return this;
  }

  /** Sets the memory for hidden states that are kept between candidates. Default: 2 GiB. */
  public Calibration batchMemory(long bytes) {
    batchMemoryBytes = bytes;
    return this;
  }

  /** Sets the most tokens that run through the model at once in tests. Default: 512. */
  public Calibration batchTokens(int value) {
    batchTokens = value;
    return this;
  }

  /** Sets the file of the progress of the search, deleted when the result is written. */
  public Calibration journal(Path file) {
    journal = file;
    return this;
  }

  /** Goes on where the journal ends, if there is one. */
  public Calibration resume(boolean value) {
    resume = value;
    return this;
  }

  /** Sets who is told of progress and notes. */
  public Calibration listener(CalibrationListener value) {
    listener = value;
    return this;
  }

  /** Sets the command that the policy is to name. */
  public Calibration command(String value) {
    command = value;
    return this;
  }

  /**
   * Calibrates.
   *
   * @throws CalibrationException.Usage if the settings make no sense for this model
   * @throws CalibrationException if it cannot be done or continued
   */
  @SuppressWarnings("try")
  public CalibrationResult run() {
    try (OutputLock lock = journal == null ? null : OutputLock.of(journal)) {
      if (model != null) {
        return run(model);
      }
      try (LoadedModel opened = LoadedModel.open(path, options)) {
        return run(opened);
      }
    }
  }

  /** Runs the unshared model on samples of the text, for calibrations that start from that. */
  public KvStatistics capture() {
    Passages chosen = sample(model, textOrDefault());
    requireTokens(model.decoder().spec(), chosen.passages());
    try (SampleRunner runner = runner(model, chosen.passages())) {
      return capture(model, runner, chosen);
    }
  }

  /** Estimates time and memory. A folder with nothing but config.json is enough. */
  public Forecast forecast() {
    if (model != null) {
      return forecast(model);
    }
    if (hasWeights(path)) {
      try (LoadedModel opened =
          LoadedModel.open(path, options.withResidency(WeightResidency.ONE_LAYER))) {
        return forecast(opened);
      }
    }
    Path config = path.resolve("config.json");
    ModelSpec spec = ModelFamilies.spec(new ModelConfig(config, JsonFiles.readObject(config)));
    Forecast.Work work = work(spec, null);
    double layer = Forecast.estimate(spec, MachineSpeed.measure(options), work.passageTokens());
    return Forecast.of(spec, layer, work);
  }

  private CalibrationResult run(LoadedModel loaded) {
    IntFunction<Plan> given = givenPlan();
    CalibrationText cut = passages == null ? new CalibrationText(loaded) : passages;
    KvStatistics start = statisticsFile == null ? statistics : StatisticsFile.read(statisticsFile);
    Corpus corpus = start == null ? textOrDefault() : text;
    CalibrationResult found =
        given == null
            ? searched(loaded, cut, corpus, start)
            : given(loaded, given.apply(loaded.decoder().spec().layers()), corpus);
    boolean repairs = repair != null && (repairChosen || repairs(given));
    CalibrationResult done =
        repairs ? repaired(found, loaded, cut, repairText == null ? corpus : repairText) : found;
    return asked(done, loaded, corpus);
  }

  private boolean repairs(IntFunction<Plan> given) {
    return given != null || chosenMethod().repairs();
  }

  private Method chosenMethod() {
    return Method.of(method, seed, preferTop);
  }

  private Corpus textOrDefault() {
    return text == null
        ? Datasets.ofUser(System.getenv()).find(Datasets.GENERAL_CALIBRATION).load()
        : text;
  }

  private int contextOf(ModelSpec spec) {
    return context == null ? Math.min(DEFAULT_CONTEXT, spec.maxPositions()) : context;
  }

  /** The plan that was given, or that of a scheme; null where one is to be searched. */
  private IntFunction<Plan> givenPlan() {
    if (plan != null || Method.NAMES.contains(method)) {
      return plan;
    }
    Scheme scheme;
    try {
      scheme = Scheme.of(method, null, null);
    } catch (IllegalArgumentException e) {
      throw new CalibrationException.Usage(
          "The method \"%s\" cannot be used: %s. Or choose one of: %s."
              .formatted(method, e.getMessage(), String.join(", ", Method.NAMES)));
    }
    return layers ->
        scheme.layerTypes(layers).plan(scheme.slidingWindow(), UpwardReading.LCKV_DEFAULT, false);
  }

  // The search.

  private CalibrationResult searched(
      LoadedModel loaded, CalibrationText cut, Corpus corpus, KvStatistics start) {
    if (start != null) {
      requireSameKey(loaded, start);
    }
    SearchSettings settings = settings(loaded.decoder().spec(), cut, corpus);
    Passages chosen = start == null ? sample(loaded, corpus) : null;
    List<int[]> ids = start == null ? chosen.passages() : start.samples();
    requireTokens(loaded.decoder().spec(), ids);
    try (SampleRunner runner = runner(loaded, ids)) {
      KvStatistics measured = start;
      if (start == null) {
        measured = capture(loaded, runner, chosen);
      } else {
        runner.compareWith(start.lastHidden());
      }
      SearchOutcome outcome;
      try (Search search = new Search(loaded.decoder(), runner, measured, settings, listener)) {
        outcome = search.run();
      }
      return new CalibrationResult(
          policy(loaded, settings, measured, outcome),
          null,
          keep,
          settings,
          measured,
          outcome,
          contextOf(loaded.decoder().spec()));
    }
  }

  private SearchSettings settings(ModelSpec spec, CalibrationText cut, Corpus corpusOrNull) {
    Method chosen = chosenMethod();
    SearchSettings.Limits limits =
        new SearchSettings.Limits(threshold, maxDivergence, maxPerplexityRise);
    SearchGoals goals = keep.goals(chosen, window, contextOf(spec), spec);
    List<int[]> searchText = List.of();
    if (corpusOrNull != null && (chosen.repairs() || limits.needRepair())) {
      searchText = cut.passages(corpusOrNull, SEARCH_TEXT_TOKENS, goals.windowed().isPresent());
    }
    if (goals.windowed().isPresent()
        && goals.sharing().isPresent()
        && searchText.stream().noneMatch(ids -> ids.length >= window.comparableTokens())) {
      listener.noted(
          corpusOrNull == null
              ? "the statistics hold no text long enough to see what windows lose: layers only share"
              : "the text has no passage of %,d tokens, which would show what windows lose beside sharing: layers only share"
                  .formatted(window.comparableTokens()));
      goals = SearchGoals.share(goals.sharing().getAsInt());
      if (corpusOrNull != null) {
        searchText = cut.passages(corpusOrNull, SEARCH_TEXT_TOKENS, false);
      }
    }
    return new SearchSettings(
        chosen, goals, limits, seed, acrossKinds, searchText, batchMemoryBytes, journal, resume);
  }

  private Passages sample(LoadedModel loaded, Corpus corpus) {
    if (corpus instanceof Corpus.Tokens tokens && tokens.sequences().isEmpty()) {
      throw new CalibrationException.Usage(
          "There is no calibration sample: give a text with at least one sample.");
    }
    Passages chosen =
        new CalibrationSampler(samples, tokensPerSample).sample(corpus, loaded::encode);
    chosen.notes().forEach(listener::noted);
    listener.noted("text " + chosen.summary());
    return chosen;
  }

  private SampleRunner runner(LoadedModel loaded, List<int[]> ids) {
    return new SampleRunner(loaded.decoder(), ids, batchMemoryBytes, batchTokens);
  }

  private KvStatistics capture(LoadedModel loaded, SampleRunner runner, Passages chosen) {
    KvDistances sums = runner.capture(listener);
    listener.progressed(Progress.of(Phase.RANK, 0, 1));
    KvStatistics measured =
        new KvStatistics(
            loaded.identity(),
            loaded.key(null).line(),
            new DatasetReference(chosen.name(), chosen.sha256()),
            chosen.passages(),
            sums.matrix(loaded.decoder().spec().headSize()),
            runner.baseline());
    listener.progressed(Progress.of(Phase.RANK, 1, 1));
    return measured;
  }

  private static void requireSameKey(LoadedModel loaded, KvStatistics start) {
    if (!start.model().equals(loaded.identity())) {
      throw new CalibrationException(
          "The statistics are of another model: %s, but this one is %s. Capture them again from this model."
              .formatted(start.model(), loaded.identity()));
    }
    String key = loaded.key(null).line();
    if (!start.key().equals(key)) {
      throw new CalibrationException(
          "The statistics were measured otherwise than this run computes: with \"%s\" there and \"%s\" here (model, number format, form of the weights, device). Capture them again, or run as they were captured."
              .formatted(start.key(), key));
    }
  }

  private static void requireTokens(ModelSpec spec, List<int[]> ids) {
    for (int i = 0; i < ids.size(); i++) {
      int length = ids.get(i).length;
      if (length == 0 || length > spec.maxPositions()) {
        throw new CalibrationException.Usage(
            "Sample %d has %d tokens, but the model takes 1 to %d: change the tokens of a sample."
                .formatted(i, length, spec.maxPositions()));
      }
      for (int id : ids.get(i)) {
        if (id < 0 || id >= spec.vocabularySize()) {
          throw new CalibrationException.Usage(
              "Sample %d has token %d, but the model's vocabulary ends at %d: the token ids are of another tokenizer."
                  .formatted(i, id, spec.vocabularySize() - 1));
        }
      }
    }
  }

  private Policy policy(
      LoadedModel loaded, SearchSettings settings, KvStatistics measured, SearchOutcome outcome) {
    return policy(loaded, outcome.plan(), measured.dataset(), measured.samples())
        .withCalibration(
            origin -> {
              origin.threshold = settings.limits().threshold();
              origin.similarity = outcome.similarity();
              origin.seed = seed;
              origin.accepted = candidates(outcome.accepted());
              origin.rejected = candidates(outcome.rejected());
              origin.compared =
                  outcome.compared().stream()
                      .map(
                          found ->
                              new ComparedMethod(
                                  found.name(),
                                  found.plan().reducedLayers(),
                                  found.reached(),
                                  found.quality().divergence().mean(),
                                  found.quality().divergence().perplexityRatio(),
                                  found.quality().divergence().agreement(),
                                  found.quality().similarity()))
                      .toList();
            });
  }

  /** A policy that says how it is made, but not yet what was measured. */
  private Policy policy(LoadedModel loaded, Plan plan, DatasetReference dataset, List<int[]> ids) {
    return Policy.of(loaded.identity(), plan.withPrefill(prefill(loaded, plan)))
        .withContext(contextOf(loaded.decoder().spec()))
        .withTool(tool())
        .withCalibration(
            origin -> {
              origin.method = method;
              origin.command = command;
              origin.acrossKinds = acrossKinds;
              origin.dtype = loaded.key(plan).computeType().name().toLowerCase(Locale.ROOT);
              origin.threads = PyTorchRuntime.threads();
              origin.dataset = dataset;
              origin.samples = ids.size();
              origin.tokensPerSample =
                  ids.stream().mapToInt(sample -> sample.length).max().orElse(0);
            });
  }

  private Prefill prefill(LoadedModel loaded, Plan found) {
    if (prefill != null || givenPlan() != null) {
      return prefill == null ? found.prefill() : prefill;
    }
    boolean exact =
        chosenMethod().repairs()
            && !preferTop
            && found.reducedLayers() > 0
            && loaded.decoder().spec().isTrainedUnshared();
    return exact ? Prefill.EXACT : Prefill.PLAN;
  }

  private static List<Candidate> candidates(List<SearchOutcome.Tested> tested) {
    return tested.stream()
        .map(
            candidate ->
                new Candidate(
                    candidate.pair().layer(),
                    candidate.pair().source(),
                    candidate.pair().distance(),
                    candidate.similarity(),
                    candidate.measured().isComplete() ? null : candidate.measured().samples()))
        .toList();
  }

  /** The program that writes the policy, from the manifest of the jar. */
  private static ToolVersion tool() {
    String version = Calibration.class.getPackage().getImplementationVersion();
    return new ToolVersion("kvshare", version == null ? "development" : version);
  }

  // A given plan: measured, not searched.

  private CalibrationResult given(LoadedModel loaded, Plan wanted, Corpus corpus) {
    if (wanted.map().hasChains()) {
      throw new CalibrationException.Usage(
          "A policy cannot say this plan: every layer that others read must keep its own keys and values.");
    }
    Passages chosen = sample(loaded, corpus);
    requireTokens(loaded.decoder().spec(), chosen.passages());
    double similarity =
        SampleRunner.similarity(loaded.decoder(), wanted, chosen.passages(), listener);
    DatasetReference dataset = new DatasetReference(chosen.name(), chosen.sha256());
    Policy policy =
        policy(loaded, wanted, dataset, chosen.passages())
            .withCalibration(origin -> origin.similarity = similarity);
    SearchOutcome outcome =
        new SearchOutcome(
            wanted,
            similarity,
            wanted.reducedLayers(),
            List.of(),
            List.of(),
            0,
            LayerWork.NONE,
            List.of());
    return new CalibrationResult(
        policy, null, keep, null, null, outcome, contextOf(loaded.decoder().spec()));
  }

  // The repair.

  private CalibrationResult repaired(
      CalibrationResult found, LoadedModel loaded, CalibrationText cut, Corpus corpusOrNull) {
    Plan wanted = found.policy().plan();
    if (wanted.reducedLayers() == 0) {
      return found;
    }
    boolean windowed = wanted.windows() != null;
    RepairPassages split =
        corpusOrNull == null
            ? null
            : cut.repairPassages(corpusOrNull, tokensOfRepair(windowed), windowed);
    if (wanted.map().hasUpwardSources()) {
      listener.noted("not repaired: only plans with sources below their readers can be");
      return found;
    }
    if (split == null) {
      listener.noted(
          corpusOrNull == null
              ? "not repaired: the statistics hold no text, which a repair needs; give one for it"
              : "not repaired: %s is too short, %s are needed"
                  .formatted(corpusOrNull.name(), CalibrationText.shortest()));
      return found;
    }
    int layers = wanted.map().layers();
    RepairOutcome outcome =
        new Repair(loaded.decoder(), repair)
            .repair(
                wanted,
                split,
                done -> {
                  CalibrationException.Interrupted.check();
                  listener.progressed(Progress.of(Phase.REPAIR, done, layers));
                });
    Policy policy = outcome.policy(found.policy());
    if (repairText != null) {
      DatasetReference dataset = new DatasetReference(repairText.name(), repairText.sha256());
      policy = policy.withCalibration(origin -> origin.repairDataset = dataset);
    }
    return found.with(policy, outcome.weightsOrNull());
  }

  private int tokensOfRepair(boolean windowed) {
    if (repairTokens != null) {
      return repairTokens;
    }
    return windowed ? WINDOWED_REPAIR_TOKENS : SHARING_REPAIR_TOKENS;
  }

  // Recall.

  private CalibrationResult asked(CalibrationResult found, LoadedModel loaded, Corpus corpus) {
    Plan wanted = found.policy().plan();
    if (wanted.reducedLayers() == 0) {
      return found;
    }
    try (RecallMeter meter = recallMeter(loaded, corpus)) {
      if (meter == null) {
        return found;
      }
      Recall recall = meter.judge(wanted, found.weights());
      return found.with(
          found.policy().withCalibration(origin -> origin.recall = recall), found.weights());
    }
  }

  /** Asks for numbers in passages of the text; null, and a note, where that cannot be done. */
  private RecallMeter recallMeter(LoadedModel loaded, Corpus corpusOrNull) {
    if (recallContext == 0) {
      return null;
    }
    if (!(corpusOrNull instanceof Corpus.Text words)) {
      listener.noted("recall is not measured: numbers are hidden in text, and none is given");
      return null;
    }
    int tokens = Math.min(recallContext, loaded.decoder().spec().maxPositions());
    if (tokens < recallContext) {
      listener.noted("recall is measured at %,d tokens, the most of this model".formatted(tokens));
    }
    try {
      int[] ran = {0};
      int all = 2 * RecallPassages.Kind.values().length * RecallPassages.JUDGING;
      return new RecallMeter(
          loaded.decoder(),
          new RecallPassages(words, loaded::encode, loaded.bosOrNull())
              .passages(tokens, RecallPassages.JUDGING, seed),
          count -> {
            CalibrationException.Interrupted.check();
            ran[0] += count;
            listener.progressed(Progress.of(Phase.RECALL, ran[0], all));
          });
    } catch (IllegalArgumentException e) {
      listener.noted("recall is not measured: " + e.getMessage());
      return null;
    }
  }

  // The forecast.

  private Forecast forecast(LoadedModel loaded) {
    Forecast.Work work = work(loaded.decoder().spec(), loaded);
    double layer = Forecast.measure(loaded.decoder(), work.passageTokens());
    return Forecast.of(loaded.decoder().spec(), layer, work);
  }

  /** What is to be done; without a model, the tokens of the text are guessed from its length. */
  private Forecast.Work work(ModelSpec spec, LoadedModel loadedOrNull) {
    IntFunction<Plan> given = givenPlan();
    SearchGoals goals;
    if (given == null) {
      goals = keep.goals(chosenMethod(), window, contextOf(spec), spec);
    } else {
      Plan wanted = given.apply(spec.layers());
      int windowed = wanted.windowedLayers().size();
      goals =
          new SearchGoals(
              OptionalInt.of(wanted.map().sharedLayers()),
              windowed == 0 ? OptionalInt.empty() : OptionalInt.of(windowed),
              null);
    }
    boolean windowed = goals.windowed().isPresent();
    int length = CalibrationText.passageTokens(spec, windowed);
    long tokens = 0;
    if (repair != null && (repairChosen || repairs(given))) {
      Corpus corpus = repairText == null ? textOrDefault() : repairText;
      tokens = Math.min(tokensOfRepair(windowed), aboutTokens(corpus));
      if (loadedOrNull != null) {
        List<int[]> cut =
            new CalibrationText(loadedOrNull).passages(corpus, tokensOfRepair(windowed), windowed);
        tokens = cut.stream().mapToLong(ids -> ids.length).sum();
        length = cut.isEmpty() ? length : cut.get(0).length;
      }
    }
    return new Forecast.Work(
        method,
        given == null ? chosenMethod() : null,
        samples,
        tokensPerSample,
        goals,
        length,
        (int) tokens,
        batchMemoryBytes,
        options.computeType().bytes(),
        options.residency() == WeightResidency.ONE_LAYER);
  }

  private static long aboutTokens(Corpus corpus) {
    return corpus instanceof Corpus.Text found
        ? found.text().length() / CHARACTERS_PER_TOKEN
        : ((Corpus.Tokens) corpus).sequences().stream().mapToLong(ids -> ids.length).sum();
  }

  private static boolean hasWeights(Path model) {
    if (!Files.isDirectory(model)) {
      return true;
    }
    try (Stream<Path> files = Files.list(model)) {
      return files.anyMatch(file -> file.toString().endsWith(".safetensors"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
