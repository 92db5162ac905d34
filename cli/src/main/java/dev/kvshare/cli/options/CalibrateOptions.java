package dev.kvshare.cli.options;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.export.FolderExport;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.Keep;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchSettings.Limits;
import dev.kvshare.calibrate.search.WindowsMethod;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** The options of {@code kvshare calibrate}, grouped as its help shows them. */
public final class CalibrateOptions {
  private static final String BESIDE_POLICY = "";

  /** Methods of earlier releases, and what they are called now. */
  private static final Map<String, String> FORMER_METHODS =
      Map.of(
          "dissimilar", "it is called kvsharer now",
          "greedy", "share includes it",
          "beam", "it was removed: share comes as near",
          "repair-aware", "it was removed: share comes nearer");

  @ArgGroup(validate = false, order = 1, heading = "%nModel%n")
  public ModelOptions model = new ModelOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nGoal%n")
  public GoalOptions goal = new GoalOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nCalibration text%n")
  public SampleOptions samples = new SampleOptions();

  @ArgGroup(validate = false, order = 5, heading = "%nSchemes of the papers%n")
  public SchemeOptions scheme = new SchemeOptions();

  @ArgGroup(validate = false, order = 6, heading = "%nSearch%n")
  public SearchOptions search = new SearchOptions();

  @ArgGroup(validate = false, order = 7, heading = "%nRepair%n")
  public RepairOptions repair = new RepairOptions();

  @ArgGroup(validate = false, order = 4, heading = "%nOutput%n")
  public OutputOptions files = new OutputOptions();

  public static final class GoalOptions {
    @Everyday
    @Option(
        names = {"-k", "--keep"},
        paramLabel = "AMOUNT")
    public String keep;

    @Everyday
    @Option(names = "--context", paramLabel = "TOKENS", converter = Converters.Positive.class)
    Integer context;

    @Everyday
    @Option(names = "--method", paramLabel = "NAME")
    public String method = Method.NAMES.get(0);

    @Everyday
    @Option(
        names = {"-n", "--share-layers"},
        paramLabel = "N",
        converter = Converters.Positive.class)
    public Integer shareLayers;

    @Option(
        names = {"-w", "--window-layers"},
        paramLabel = "N",
        converter = Converters.Positive.class)
    public Integer windowLayers;

    @Everyday
    @Option(names = "--threshold", paramLabel = "X")
    double threshold = Limits.DEFAULT_THRESHOLD;

    @Option(names = "--max-kl", paramLabel = "NATS")
    double maxDivergence = Double.POSITIVE_INFINITY;

    @Option(names = "--max-perplexity-rise", paramLabel = "X")
    double maxPerplexityRise = Double.POSITIVE_INFINITY;

    @Option(names = "--recall-context", paramLabel = "TOKENS", converter = Converters.Count.class)
    int recallContext = 1024;

    @Option(names = "--window", paramLabel = "TOKENS", converter = Converters.Positive.class)
    Integer window;

    @Option(names = "--sinks", paramLabel = "TOKENS", converter = Converters.Count.class)
    int sinks = SearchGoals.Window.SINKS;

    @Option(names = "--prefill", paramLabel = "NAME")
    Plan.Prefill prefill;

    @Option(names = "--for", paramLabel = "NAME")
    public Target target;
  }

  /** The programs that a policy can be made for. */
  public enum Target {
    TRANSFORMERS(FolderExport.Target.TRANSFORMERS),
    VLLM(FolderExport.Target.VLLM),
    /** Engines without code of kvshare. */
    STOCK(FolderExport.Target.WINDOWS);

    /** What is exported for it. */
    public final FolderExport.Target folder;

    Target(FolderExport.Target folder) {
      this.folder = folder;
    }
  }

  public static final class SampleOptions extends TextOptions {
    @Everyday
    @Option(names = "--samples", paramLabel = "N", converter = Converters.Positive.class)
    int samples = 30;

    @Everyday
    @Option(names = "--tokens", paramLabel = "N", converter = Converters.Positive.class)
    int tokens = 64;
  }

  public static final class SearchOptions {
    @Everyday
    @Option(names = "--resume")
    public boolean resume;

    @Everyday
    @Option(names = "--dry-run")
    public boolean dryRun;

    @Option(names = "--across-kinds")
    boolean acrossKinds;

    @Option(names = "--prefer-top")
    boolean preferTop;

    @Option(names = "--seed", paramLabel = "N")
    long seed;

    @Option(names = "--batch-memory", paramLabel = "SIZE", converter = Converters.Bytes.class)
    long batchMemoryBytes = 2L << 30;

    @Option(names = "--offload")
    public boolean offload;

    @Option(
        names = "--save-stats",
        paramLabel = "FILE",
        arity = "0..1",
        fallbackValue = BESIDE_POLICY)
    public Path saveStats;

    @Option(names = "--stats", paramLabel = "FILE")
    public Path stats;

    /** Whether the statistics are wanted at their default place. */
    public boolean savesStatsBesidePolicy() {
      return saveStats != null && saveStats.toString().equals(BESIDE_POLICY);
    }
  }

  public static final class RepairOptions {
    @Option(names = "--repair")
    boolean repair;

    @Option(names = "--no-repair")
    boolean noRepair;

    @Option(names = "--repair-text", paramLabel = "TEXT")
    public String text;

    @Option(names = "--repair-tokens", paramLabel = "N", converter = Converters.Positive.class)
    Integer tokens;

    @Option(names = "--repair-parts", paramLabel = "PART", split = ",", hideParamSyntax = true)
    List<String> parts = new ArrayList<>();

    private RepairSettings settings() {
      return parts.isEmpty() ? RepairSettings.DEFAULT : RepairSettings.ofParts(parts);
    }
  }

  public static final class OutputOptions {
    @Everyday
    @Option(
        names = {"-o", "--out"},
        paramLabel = "FILE")
    public Path out;

    @Everyday
    @Option(names = {"-f", "--force"})
    public boolean force;

    @Option(names = "--report", paramLabel = "FILE")
    public Path report;

    @Option(names = "--no-report")
    public boolean noReport;
  }

  /** Whether the plan is a scheme of the papers, or given as layer types: nothing is searched. */
  public boolean isScheme() {
    return scheme.layerTypes != null || schemeOrNull() != null;
  }

  private String schemeOrNull() {
    return Method.NAMES.contains(goal.method) ? null : goal.method;
  }

  /** The method that searches; not for a scheme. */
  public Method method() {
    return Method.of(methodName(), search.seed, search.preferTop);
  }

  /** The method or scheme that was asked for. */
  public String methodName() {
    return goal.windowLayers == null ? goal.method : WindowsMethod.NAME;
  }

  /** What is wrong with the values, whatever the other options are, or null. */
  public String problem() {
    try {
      repair.settings();
      if (schemeOrNull() != null) {
        scheme.window(goal.method);
      }
    } catch (IllegalArgumentException e) {
      return repair.parts.isEmpty() || schemeOrNull() != null
          ? "--method %s: %s; the methods are %s"
              .formatted(
                  goal.method,
                  FORMER_METHODS.getOrDefault(goal.method, e.getMessage()),
                  String.join(", ", Method.NAMES))
          : "--repair-parts: " + e.getMessage();
    }
    String text = samples.problem(false);
    return text == null ? scheme.problem(schemeOrNull(), "--method") : text;
  }

  /** The calibration text; null with --stats. */
  public Corpus text(Datasets datasets) {
    return search.stats == null ? samples.load(datasets, model.calibrationDataset()) : null;
  }

  /** The text of the repair where it is another one, else null. */
  public Corpus repairText(Datasets datasets) {
    return repair.text == null ? null : datasets.resolve(repair.text, null, System.in).load();
  }

  /** How the model runs. */
  public DecoderOptions decoderOptions() {
    DecoderOptions usual = model.decoderOptions();
    return search.offload ? usual.withResidency(DecoderOptions.WeightResidency.ONE_LAYER) : usual;
  }

  /**
   * Tells a calibration everything but the files.
   *
   * @param textOrNull what {@link #text} read
   * @param repairTextOrNull what {@link #repairText} read
   */
  public Calibration configure(
      Calibration calibration, Corpus textOrNull, Corpus repairTextOrNull) {
    calibration
        .options(decoderOptions())
        .text(textOrNull)
        .samples(samples.samples)
        .tokensPerSample(samples.tokens)
        .method(methodName())
        .window(goal.sinks, goal.window)
        .recallContext(goal.recallContext)
        .threshold(goal.threshold)
        .maxDivergence(goal.maxDivergence)
        .maxPerplexityRise(goal.maxPerplexityRise)
        .acrossKinds(search.acrossKinds)
        .preferTop(search.preferTop)
        .seed(search.seed)
        .batchMemory(search.batchMemoryBytes)
        .resume(search.resume)
        .repairText(repairTextOrNull);
    if (isScheme()) {
      String named = schemeOrNull();
      calibration.plan(named == null ? "layer-types" : named, layers -> scheme.plan(named, layers));
    }
    given(goal.keep, calibration::keep);
    given(goal.shareLayers, layers -> calibration.keep(new Keep.SharedLayers(layers)));
    given(goal.windowLayers, layers -> calibration.keep(new Keep.WindowedLayers(layers)));
    given(goal.context, calibration::context);
    given(goal.prefill, calibration::prefill);
    given(goal.target, target -> calibration.target(target.folder));
    given(search.stats, calibration::statistics);
    given(repair.tokens, calibration::repairTokens);
    if (repair.noRepair) {
      calibration.repair(null);
    } else if (repair.repair || !repair.parts.isEmpty()) {
      calibration.repair(repair.settings());
    }
    return calibration;
  }

  private static <T> void given(T valueOrNull, Consumer<T> setter) {
    if (valueOrNull != null) {
      setter.accept(valueOrNull);
    }
  }
}
