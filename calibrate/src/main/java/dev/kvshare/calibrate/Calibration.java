package dev.kvshare.calibrate;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.export.FolderExport;
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
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.search.AutoMethod;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchSettings;
import dev.kvshare.calibrate.search.WindowsMethod;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
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
  private static final int DEFAULT_CONTEXT = 8192;
  private static final int CHARACTERS_PER_TOKEN = 4;
  private static final int DEFAULT_REPAIR_TOKENS = 16_384;

  /**
   * Enough rows for matrix products at full speed on a CPU; more would run samples of candidates
   * that could have been dropped before.
   */
  private static final int DEFAULT_BATCH_TOKENS = 512;

  private final Path path;
  private final LoadedModel model;
  private DecoderOptions options = DecoderOptions.DEFAULT;
  Corpus text;
  KvStatistics statistics;
  Path statisticsFile;
  int samples = 30;
  int tokensPerSample = 64;
  Keep keep = Keep.usual();
  Integer context;
  String method = Method.NAMES.get(0);
  IntFunction<Plan> plan;
  int first = SearchGoals.Window.SINKS;
  Integer last;
  Prefill prefill;
  FolderExport.Target target;
  double threshold = SearchSettings.Limits.DEFAULT_THRESHOLD;
  double maxDivergence = Double.POSITIVE_INFINITY;
  double maxPerplexityRise = Double.POSITIVE_INFINITY;
  boolean acrossKinds;
  boolean preferTop;
  long seed;
  boolean repairChosen;
  RepairSettings repair = RepairSettings.DEFAULT;
  Corpus repairText;
  Integer repairTokens;
  int recallContext = 1024;
  CalibrationText passages;
  long batchMemoryBytes = 2L << 30;
  int batchTokens = DEFAULT_BATCH_TOKENS;
  Path journal;
  boolean resume;
  CalibrationListener listener = CalibrationListener.NONE;
  String command;

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
   * Default: 8,192, or the longest that the model takes.
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
   * @param ofLayers the plan for a number of layers; an IllegalArgumentException says that it does
   *     not fit so many
   */
  public Calibration plan(String name, IntFunction<Plan> ofLayers) {
    method = name;
    plan =
        layers -> {
          try {
            return ofLayers.apply(layers);
          } catch (IllegalArgumentException e) {
            throw new CalibrationException.Usage(e.getMessage());
          }
        };
    return this;
  }

  /**
   * Sets what windowed layers keep.
   *
   * @param firstTokens 4 by default
   * @param lastTokensOrNull null, the default, for a thirty-second of the context, from 64 to 512
   */
  public Calibration window(int firstTokens, Integer lastTokensOrNull) {
    first = firstTokens;
    last = lastTokensOrNull;
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

  /**
   * Keeps to what another program can do with the policy, as its folder is read there. vLLM and
   * engines without code of kvshare compute prompts under the plan; the latter know windows without
   * first tokens, and nothing else. Default: kvshare runs the policy.
   */
  public Calibration target(FolderExport.Target value) {
    target = value;
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

  /**
   * Sets the most tokens that the repair reads, spread over the text. Default: 16,384. A plan of
   * windows alone, which has little to be repaired, is only measured where neither this nor {@link
   * #repair} is set.
   */
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
    honourTarget();
    try (OutputLock lock = journal == null ? null : OutputLock.of(journal)) {
      if (model != null) {
        return new CalibrationRun(this, model).run();
      }
      try (LoadedModel opened = LoadedModel.open(path, options)) {
        return new CalibrationRun(this, opened).run();
      }
    }
  }

  /** Runs the unshared model on samples of the text, for calibrations that start from that. */
  public KvStatistics capture() {
    return new CalibrationRun(this, model).capture();
  }

  /** Estimates time and memory. A folder with nothing but config.json is enough. */
  public Forecast forecast() {
    honourTarget();
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

  private void honourTarget() {
    if (target == FolderExport.Target.WINDOWS) {
      if (!method.equals(AutoMethod.NAME) && !method.equals(WindowsMethod.NAME)) {
        throw new CalibrationException.Usage(
            "Engines without code of kvshare know windows and nothing else, so the method %s is of no use for them. Leave the method out."
                .formatted(method));
      }
      method = WindowsMethod.NAME;
      first = 0;
    }
    if (target != null && target.computesPromptsUnderThePlan()) {
      if (prefill == Prefill.EXACT) {
        throw new CalibrationException.Usage(
            "Prompts are computed under the plan there, not exactly. Leave the prefill out.");
      }
      prefill = Prefill.PLAN;
    }
  }

  boolean repairs(IntFunction<Plan> given) {
    return given != null || chosenMethod().repairs();
  }

  Method chosenMethod() {
    return Method.of(method, seed, preferTop);
  }

  Corpus textOrDefault() {
    return text == null
        ? Datasets.ofUser(System.getenv()).find(Datasets.GENERAL_CALIBRATION).load()
        : text;
  }

  /** Whether weights are refitted to a plan in which layers share, or none does. */
  boolean refits(boolean shares) {
    return shares || repairChosen || repairTokens != null;
  }

  int repairTokens() {
    return repairTokens == null ? DEFAULT_REPAIR_TOKENS : repairTokens;
  }

  SearchGoals.Window windowOf(ModelSpec spec) {
    return last == null
        ? SearchGoals.Window.ofContext(first, contextOf(spec))
        : new SearchGoals.Window(first, last);
  }

  int contextOf(ModelSpec spec) {
    return context == null ? Math.min(DEFAULT_CONTEXT, spec.maxPositions()) : context;
  }

  /** The plan that was given, or that of a scheme; null where one is to be searched. */
  IntFunction<Plan> givenPlan() {
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
      goals = keep.goals(chosenMethod(), windowOf(spec), contextOf(spec), spec);
    } else {
      Plan wanted = given.apply(spec.layers());
      int windowed = wanted.windowedLayers().size();
      goals =
          new SearchGoals(
              OptionalInt.of(wanted.map().sharedLayers()),
              windowed == 0 ? OptionalInt.empty() : OptionalInt.of(windowed),
              null);
    }
    int window = goals.windowed().isPresent() ? windowOf(spec).last() : 0;
    int length = CalibrationText.passageTokens(spec, window);
    long tokens = 0;
    if (repair != null && (repairChosen || repairs(given))) {
      Corpus corpus = repairText == null ? textOrDefault() : repairText;
      tokens = Math.min(repairTokens(), aboutTokens(corpus));
      if (loadedOrNull != null) {
        List<int[]> cut = new CalibrationText(loadedOrNull).spread(corpus, repairTokens(), window);
        tokens = cut.stream().mapToLong(ids -> ids.length).sum();
        length = cut.isEmpty() ? length : cut.get(0).length;
      }
    }
    // Where layers may be windowed, a search mostly comes to windows alone.
    boolean refits = refits(given == null ? window == 0 : goals.sharing().getAsInt() > 0);
    if (!refits) {
      tokens /= CalibrationText.VALIDATION_SHARE;
    }
    return new Forecast.Work(
        method,
        given == null ? chosenMethod() : null,
        samples,
        tokensPerSample,
        goals,
        length,
        (int) tokens,
        refits,
        textOrDefault() instanceof Corpus.Text ? Math.min(recallContext, spec.maxPositions()) : 0,
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
