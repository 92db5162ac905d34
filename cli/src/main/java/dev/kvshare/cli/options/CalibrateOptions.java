package dev.kvshare.cli.options;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.Keep;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchSettings.Limits;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
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
        paramLabel = "AMOUNT",
        description = {
          "What stays of the KV cache: 70%%, 21layers or 16KiB. Default: 70%%.",
          "A part of the cache, a number of layers that keep all of theirs, or bytes a token with 16-bit numbers."
        })
    public String keep;

    @Everyday
    @Option(
        names = "--context",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class,
        description = {
          "Length of the text of which that stays. Default: 2048.",
          "It matters where layers keep the first and last tokens only. A model that takes less has its longest text as the default."
        })
    Integer context;

    @Everyday
    @Option(
        names = "--method",
        paramLabel = "NAME",
        description = {
          "auto, share, windows, kvsharer, or a baseline or scheme. Default: auto.",
          "  auto       what loses least: layers that share, or layers that keep the first and last tokens only",
          "  share      layers read the keys and values of other layers; the best of several searches, repaired",
          "  windows    layers keep the first and last tokens of a text only, repaired",
          "  kvsharer   the paper alone (arXiv 2410.18517): most different keys and values first, a threshold, no repair",
          "  similar, random, layer-order",
          "             baselines: most similar pairs first, pairs shuffled by --seed, top layers first; no repair",
          "  pizza-, sandwich- or lasagna- with -bottom, -middle or -top",
          "             the configurations of arXiv 2410.14442: ordinary layers at the bottom, at both ends or nowhere, and where the source of a group stands",
          "  cla-K      Cross-Layer Attention, arXiv 2405.12981: groups of K layers",
          "  yoco       You Only Cache Once, arXiv 2405.05254",
          "  mixattention",
          "             MixAttention, arXiv 2409.15012, in the form Pairs",
          "  lckv       Layer-Condensed KV Cache, arXiv 2405.10637: sandwich-top"
        })
    public String method = Method.NAMES.get(0);

    @Everyday
    @Option(
        names = {"-n", "--share-layers"},
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Number of layers that share, in place of --keep.")
    public Integer shareLayers;

    @Everyday
    @Option(
        names = "--threshold",
        paramLabel = "X",
        description = {
          "Least similarity of the last hidden states. Default: 0.5.",
          "A plan is kept when their mean cosine similarity to the unshared model's is above this."
        })
    double threshold = Limits.DEFAULT_THRESHOLD;

    @Option(
        names = "--max-kl",
        paramLabel = "NATS",
        description =
            "Refuse plans whose next-token distributions diverge more from the unshared model's, after repair, on average. Default: no limit.")
    double maxDivergence = Double.POSITIVE_INFINITY;

    @Option(
        names = "--max-perplexity-rise",
        paramLabel = "X",
        description =
            "Refuse plans under which the perplexity rises by more than this fraction, after repair (0.05 for 5 %%). Default: no limit.")
    double maxPerplexityRise = Double.POSITIVE_INFINITY;

    @Option(
        names = "--window",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class,
        description = "Last tokens that layers with a window keep. Default: 64.")
    int window = SearchGoals.Window.DEFAULT.last();

    @Option(
        names = "--sinks",
        paramLabel = "TOKENS",
        converter = Converters.Count.class,
        description = "First tokens that they keep. Default: 4.")
    int sinks = SearchGoals.Window.DEFAULT.first();
  }

  public static final class SampleOptions extends TextOptions {
    @Everyday
    @Option(
        names = "--samples",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Number of samples. Default: 30.")
    int samples = 30;

    @Everyday
    @Option(
        names = "--tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Tokens a sample; longer ones are cut. Default: 64.")
    int tokens = 64;
  }

  public static final class SearchOptions {
    @Everyday
    @Option(
        names = "--resume",
        description = "Continue a search that was interrupted, with the same options.")
    public boolean resume;

    @Everyday
    @Option(
        names = "--dry-run",
        description = {
          "Say what the calibration would cost, and stop.",
          "Measures one layer of the model, or this machine alone where the model is a folder with nothing but config.json."
        })
    public boolean dryRun;

    @Option(
        names = "--across-kinds",
        description =
            "Let layers with a sliding window and layers with full attention share with each other. By default only layers of one kind do.")
    boolean acrossKinds;

    @Option(
        names = "--prefer-top",
        description =
            "Let auto and share prefer to share the layers at the top: what shares there, a prompt skips.")
    boolean preferTop;

    @Option(names = "--seed", paramLabel = "N", description = "For random choices. Default: 0.")
    long seed;

    @Option(
        names = "--batch-memory",
        paramLabel = "SIZE",
        converter = Converters.Bytes.class,
        description =
            "Memory for hidden states that are kept between candidates; with less, more is computed again, and the policy is the same. Default: 2GiB.")
    long batchMemoryBytes = 2L << 30;

    @Option(
        names = "--offload",
        description =
            "For a model larger than memory: only one layer is in memory, read from the files when it runs. The policy is the same. Reads least with '--method kvsharer'; auto, share and windows read the model once for each plan that they repair.")
    public boolean offload;

    @Option(
        names = "--save-stats",
        paramLabel = "FILE",
        arity = "0..1",
        fallbackValue = BESIDE_POLICY,
        description =
            "Keep what was read from the text, so that --stats solves another size, threshold or method without reading it again. Default for FILE: beside the policy.")
    public Path saveStats;

    @Option(
        names = "--stats",
        paramLabel = "FILE",
        description = "Start from a file of --save-stats instead of a text.")
    public Path stats;

    /** Whether the statistics are wanted at their default place. */
    public boolean savesStatsBesidePolicy() {
      return saveStats != null && saveStats.toString().equals(BESIDE_POLICY);
    }
  }

  public static final class RepairOptions {
    @Option(
        names = "--repair",
        description = "Repair the plan of a method that is not repaired otherwise.")
    boolean repair;

    @Option(
        names = "--no-repair",
        description =
            "Write the plan alone. By default, weights from the first changed layer on are refitted to the text, so that the model comes back to what it computed unshared; they are written to NAME.safetensors beside the policy.")
    boolean noRepair;

    @Option(
        names = "--repair-text",
        paramLabel = "TEXT",
        description =
            "A text file, .jsonl file (its field text, input_ids or token_ids) or data set that the repair reads in place of the calibration text.")
    public String text;

    @Option(
        names = "--repair-tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description =
            "The most tokens of the text that the repair reads; an eighth of them judges it. Default: 100000, with windowed layers 50000.")
    Integer tokens;

    @Option(
        names = "--repair-parts",
        paramLabel = "PART",
        split = ",",
        hideParamSyntax = true,
        description =
            "What is refitted, separated by commas: attention (the output projections), own-token (in layers that share, also a projection of each token's own input, which no checkpoint of another program has room for), queries (of layers that share) and feed-forward (the down projections). Default: attention,own-token,queries.")
    List<String> parts = new ArrayList<>();

    private RepairSettings settings() {
      return parts.isEmpty() ? RepairSettings.DEFAULT : RepairSettings.ofParts(parts);
    }
  }

  public static final class OutputOptions {
    @Everyday
    @Option(
        names = {"-o", "--out"},
        paramLabel = "FILE",
        description = "The policy file. Default: policy.json.")
    public Path out;

    @Everyday
    @Option(
        names = {"-f", "--force"},
        description = {
          "Replace an existing file given by --out.",
          "Without --out, an earlier policy.json of kvshare is replaced anyway."
        })
    public boolean force;

    @Option(
        names = "--report",
        paramLabel = "FILE",
        description =
            "The report: one HTML page that needs nothing else. Default: report.html beside policy.json, NAME.report.html beside NAME.json.")
    public Path report;

    @Option(names = "--no-report", description = "Write no report.")
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
    return Method.of(goal.method, search.seed, search.preferTop);
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
        .method(goal.method)
        .window(goal.sinks, goal.window)
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
      calibration.plan(named == null ? "layer-types" : named, layers -> plan(named, layers));
    }
    if (goal.keep != null) {
      calibration.keep(goal.keep);
    }
    if (goal.shareLayers != null) {
      calibration.keep(new Keep.SharedLayers(goal.shareLayers));
    }
    if (goal.context != null) {
      calibration.context(goal.context);
    }
    if (search.stats != null) {
      calibration.statistics(search.stats);
    }
    if (repair.noRepair) {
      calibration.repair(null);
    } else if (repair.repair || !repair.parts.isEmpty()) {
      calibration.repair(repair.settings());
    }
    if (repair.tokens != null) {
      calibration.repairTokens(repair.tokens);
    }
    return calibration;
  }

  private Plan plan(String schemeOrNull, int layers) {
    try {
      return scheme.plan(schemeOrNull, layers);
    } catch (IllegalArgumentException e) {
      throw new CalibrationException.Usage(e.getMessage());
    }
  }
}
