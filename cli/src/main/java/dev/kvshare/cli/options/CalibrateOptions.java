package dev.kvshare.cli.options;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.calibrate.Keep;
import dev.kvshare.calibrate.search.AutoMethod;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchSettings;
import dev.kvshare.calibrate.search.ShareMethod;
import dev.kvshare.calibrate.search.WindowsMethod;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** The options of {@code kvshare calibrate}, grouped as its help shows them. */
public final class CalibrateOptions {

  @ArgGroup(validate = false, order = 1, heading = "%nModel%n")
  public ModelOptions model = new ModelOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nCalibration text%n")
  public SampleOptions samples = new SampleOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nHow much to keep%n")
  public GoalOptions goal = new GoalOptions();

  @ArgGroup(validate = false, order = 4, heading = "%nScheme, in place of a search%n")
  public SchemeOptions scheme = new SchemeOptions();

  @ArgGroup(validate = false, order = 5, heading = "%nSearch%n")
  public SearchOptions search = new SearchOptions();

  @ArgGroup(validate = false, order = 6, heading = "%nRepair%n")
  public RepairOptions repair = new RepairOptions();

  @ArgGroup(validate = false, order = 7, heading = "%nOutput%n")
  public OutputOptions files = new OutputOptions();

  /** The method that the options come to. */
  public String method() {
    if (goal.windowLayers != null) {
      return WindowsMethod.NAME;
    }
    return goal.noWindows && search.strategy.equals(AutoMethod.NAME)
        ? ShareMethod.NAME
        : search.strategy;
  }

  /** How the model runs. */
  public DecoderOptions decoderOptions() {
    DecoderOptions usual = model.decoderOptions();
    return search.offload ? usual.withResidency(WeightResidency.ONE_LAYER) : usual;
  }

  public static final class SampleOptions extends TextOptions {
    @Option(
        names = "--samples",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Number of samples. Default: 30.")
    public int samples = 30;

    @Option(
        names = "--tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Tokens a sample; longer ones are cut. Default: 64.")
    public int tokens = 64;
  }

  public static final class GoalOptions {
    @Everyday
    @Option(
        names = {"-n", "--share-layers"},
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Number of layers that shall share.")
    public Integer shareLayers;

    @Everyday
    @Option(
        names = {"-w", "--window-layers"},
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = {
          "Number of layers that keep the first and last tokens of a text only.",
          "They do this in place of sharing; what stands between, these layers do not see."
        })
    public Integer windowLayers;

    @Option(
        names = "--window",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class,
        description = "Last tokens that windowed layers keep. Default: 64.")
    Integer window;

    @Option(
        names = "--sinks",
        paramLabel = "TOKENS",
        converter = Converters.Count.class,
        description = "First tokens that windowed layers keep. Default: 4.")
    Integer sinks;

    @Option(
        names = "--no-windows",
        description =
            "Let layers share only. By default, with --kv-budget or without a size, auto also tries"
                + " layers that keep the first and last tokens only, and takes what comes nearer.")
    boolean noWindows;

    @Everyday
    @Option(
        names = {"-b", "--kv-budget"},
        paramLabel = "AMOUNT",
        description = {
          "What may be kept of the KV cache: 70%%, 21layers or 9KiB. Default: 70%%.",
          "A fraction, a number of layers or bytes per token with 16-bit numbers. Where layers are windowed, of a text of 2048 tokens, or of the longest that the model takes if that is shorter."
        })
    public String kvBudget;

    @Everyday
    @Option(
        names = "--threshold",
        paramLabel = "X",
        description = {"Least cosine similarity of the last hidden states. Default: 0.5."})
    public double threshold = SearchSettings.Limits.DEFAULT_THRESHOLD;

    @Option(
        names = "--max-kl",
        paramLabel = "NATS",
        description =
            "Refuse maps whose next-token distributions diverge more from the unshared model's,"
                + " after repair, on average. Default: no limit.")
    public double maxDivergence = Double.POSITIVE_INFINITY;

    @Option(
        names = "--max-perplexity-rise",
        paramLabel = "X",
        description =
            "Refuse maps under which the perplexity rises by more than this fraction, after repair"
                + " (0.05 for 5 %%). Default: no limit.")
    public double maxPerplexityRise = Double.POSITIVE_INFINITY;

    @Option(
        names = "--across-kinds",
        description =
            "Let layers with a sliding window and layers with full attention share with each"
                + " other. By default only layers of one kind do.")
    public boolean acrossKinds;

    /** What is to be kept. */
    public Keep keep() {
      if (windowLayers != null) {
        return new Keep.WindowedLayers(windowLayers);
      }
      if (shareLayers != null) {
        return new Keep.SharedLayers(shareLayers);
      }
      return kvBudget == null ? Keep.DEFAULT : Keep.parse(kvBudget);
    }

    /** First tokens that windowed layers keep. */
    public int first() {
      return sinks == null ? SearchGoals.Window.DEFAULT.first() : sinks;
    }

    /** Last tokens that windowed layers keep. */
    public int last() {
      return window == null ? SearchGoals.Window.DEFAULT.last() : window;
    }

    private boolean mayWindow(String method) {
      boolean both = shareLayers == null && !noWindows && method.equals(AutoMethod.NAME);
      return windowLayers != null || both || method.equals(WindowsMethod.NAME);
    }

    /** What is wrong with the combination, or null. */
    public String problem(String method) {
      if (windowLayers != null && !List.of(AutoMethod.NAME, WindowsMethod.NAME).contains(method)) {
        return "--window-layers is for the strategies auto and windows, not for " + method;
      }
      if (windowLayers != null && (shareLayers != null || kvBudget != null)) {
        return "--window-layers takes the place of --share-layers and --kv-budget: give one";
      }
      if (windowLayers != null && noWindows) {
        return "--window-layers and --no-windows contradict each other";
      }
      return mayWindow(method) || (window == null && sinks == null)
          ? null
          : "--window and --sinks say what windowed layers keep, and here layers only share: give"
              + " --window-layers, or --kv-budget with the strategy auto";
    }
  }

  public static final class SearchOptions {
    private static final String BESIDE_POLICY = "";

    @Option(
        names = {"-s", "--strategy"},
        paramLabel = "NAME",
        description = {
          "How layers are chosen. Default: auto.",
          "  auto         share and windows; what comes nearest to the model after repair",
          "  share        layers share: the papers' order, its reverse, and layer by layer what costs"
              + " least; what comes nearest after repair",
          "  windows      layers keep the first and last tokens only, layer by layer",
          "  kvsharer     the papers' method: the most different keys and values first, no repair",
          "  similar      most similar first; as all below, for comparison and not repaired",
          "  layer-order  top layers first, source just below",
          "  random       shuffled by --seed"
        })
    public String strategy = AutoMethod.NAME;

    @Option(
        names = "--prefer-top",
        description =
            "Let auto and share prefer to share the layers at the top: what shares there, a"
                + " prompt skips.")
    public boolean preferTop;

    @Option(names = "--seed", paramLabel = "N", description = "For random choices. Default: 0.")
    public long seed;

    @Option(
        names = "--batch-memory",
        paramLabel = "SIZE",
        converter = Converters.Bytes.class,
        description =
            "Memory for hidden states that are kept between candidates; with less, more is computed"
                + " again, and the policy is the same. Default: 2GiB.")
    public long batchMemoryBytes = 2L << 30;

    @Option(
        names = "--offload",
        description =
            "For a model larger than memory: only one layer is in memory, read from the files when it"
                + " runs. All samples, and candidates that may be next, go through a layer together."
                + " Gives the same policy, with every strategy and with repair. Reads least"
                + " with '--strategy kvsharer'; auto, share and windows read the"
                + " model once for each map that they repair.")
    public boolean offload;

    @Option(
        names = "--save-stats",
        paramLabel = "FILE",
        arity = "0..1",
        fallbackValue = BESIDE_POLICY,
        description =
            "Keep what was read from the text, so that --stats solves another budget, threshold or"
                + " strategy without reading it again. Default for FILE: beside the policy.")
    public Path saveStats;

    @Option(
        names = "--stats",
        paramLabel = "FILE",
        description = "Start from a file of --save-stats instead of a text.")
    public Path stats;

    @Everyday
    @Option(
        names = "--dry-run",
        description = {
          "Say what the calibration would cost, and stop.",
          "Measures one layer of the model, or this machine alone where the model is a folder with nothing but config.json."
        })
    public boolean dryRun;

    @Option(
        names = "--resume",
        description = "Continue a search that was interrupted, with the same options.")
    public boolean resume;

    /** Whether the statistics are wanted at their default place. */
    public boolean savesStatsBesidePolicy() {
      return saveStats != null && saveStats.toString().equals(BESIDE_POLICY);
    }
  }

  public static final class RepairOptions {
    @Option(
        names = "--no-repair",
        description =
            "Write the plan alone. By default, except with kvsharer, similar, layer-order and random,"
                + " weights from the first sharing layer on are refitted"
                + " to the text, so that the model comes back to what it computed unshared; they"
                + " are written to NAME.safetensors beside the policy.")
    public boolean noRepair;

    @Option(
        names = "--repair-text",
        paramLabel = "TEXT",
        description =
            "A text file, .jsonl file (its field text, input_ids or token_ids) or data set that the"
                + " repair reads in place of the calibration text.")
    public String text;

    @Option(
        names = "--repair-tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description =
            "The most tokens of the text that the repair reads; an eighth of them judges it."
                + " Default: 100000, with windowed layers 50000.")
    public Integer tokens;

    @Option(
        names = "--repair-parts",
        paramLabel = "PART",
        split = ",",
        converter = RepairPart.Converter.class,
        description =
            "What is refitted, separated by commas: attention (the output projections), own-token (in"
                + " layers that share, also a projection of each token's own input, which no"
                + " checkpoint of another program has room for), queries (of layers that share) and"
                + " feed-forward (the down projections). Default: attention,own-token,queries.")
    List<RepairPart> parts;

    /** What is refitted. */
    public List<RepairPart> parts() {
      return parts == null ? RepairPart.USUAL : parts;
    }

    /** Whether a repair is asked for in so many words. */
    public boolean isGiven() {
      return parts != null || text != null || tokens != null;
    }

    /** What is wrong with the combination of options, or null. */
    public String problem() {
      if (noRepair && text != null) {
        return "--repair-text is for a repair: leave out --no-repair";
      }
      return parts().contains(RepairPart.OWN_TOKEN) && !parts().contains(RepairPart.ATTENTION)
          ? "the own-token projection is fitted together with attention: add attention to --repair-parts"
          : null;
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
            "The report: one HTML page that needs nothing else. Default: report.html beside"
                + " policy.json, NAME.report.html beside NAME.json.")
    public Path report;

    @Option(names = "--no-report", description = "Write no report.")
    public boolean noReport;
  }
}
