package dev.kvshare.cli.options;

import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.experiment.Experiment;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.recall.RecallSettings;
import dev.kvshare.eval.recall.RecallTask;
import dev.kvshare.eval.speed.ContextMeter;
import dev.kvshare.eval.speed.SpeedMeter;
import dev.kvshare.eval.tasks.TaskMeter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** The options of {@code kvshare eval}, grouped as its help shows them. */
public final class EvalOptions {

  @ArgGroup(validate = false, order = 1, heading = "%nModel and policies%n")
  public ModelAndPolicyOptions model = new ModelAndPolicyOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nCache policies%n")
  public ComparedCacheOptions cache = new ComparedCacheOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nEvaluation text%n")
  public PassageOptions text = new PassageOptions();

  @ArgGroup(validate = false, order = 4, heading = "%nTasks%n")
  public TaskOptions tasks = new TaskOptions();

  @ArgGroup(validate = false, order = 5, heading = "%nRecall%n")
  public RecallOptions recall = new RecallOptions();

  @ArgGroup(validate = false, order = 6, heading = "%nSpeed%n")
  public SpeedOptions speed = new SpeedOptions();

  @ArgGroup(validate = false, order = 7, heading = "%nComparison of methods%n")
  public ComparisonOptions comparison = new ComparisonOptions();

  @ArgGroup(validate = false, order = 8, heading = "%nOutput%n")
  public OutputOptions files = new OutputOptions();

  public static final class ModelAndPolicyOptions extends ModelOptions {
    @Everyday
    @Option(
        names = {"-p", "--policy"},
        paramLabel = "FILE")
    public List<Path> policies = new ArrayList<>();

    @Option(names = "--no-baselines")
    public boolean noBaselines;

    @Option(names = "--no-repair")
    public boolean noRepair;

    @Everyday
    @Option(names = {"-f", "--force"})
    public boolean force;

    @Everyday
    @Option(
        names = "--sweep",
        paramLabel = "X,X,...",
        hideParamSyntax = true,
        arity = "0..1",
        fallbackValue = "2,3,4",
        split = ",",
        converter = Converters.Positive.class)
    public List<Integer> reductions = new ArrayList<>();

    @Option(names = "--sweep-window", paramLabel = "TOKENS", converter = Converters.Positive.class)
    public Integer sweepWindow;

    @Option(names = "--sweep-folder", paramLabel = "DIR")
    public Path sweepFolder;

    @Option(names = "--repair-text", paramLabel = "TEXT")
    public String repairText;

    @Option(names = "--repair-tokens", paramLabel = "N", converter = Converters.Positive.class)
    public int repairTokens = Experiment.REPAIR_TOKENS;
  }

  public static final class ComparedCacheOptions extends CachePolicyOptions {
    @Option(names = "--cache-prompt", paramLabel = "TOKENS", converter = Converters.Positive.class)
    public int prompt;

    @Option(names = "--stream", paramLabel = "TOKENS", converter = Converters.Positive.class)
    public Integer stream;
  }

  public static final class PassageOptions extends TextOptions {

    @Option(
        names = "--passage-tokens",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class)
    public int tokens = Evaluator.PASSAGE_TOKENS;

    @Everyday
    @Option(names = "--passages", paramLabel = "N", converter = Converters.Positive.class)
    public int count = Evaluator.PASSAGES;

    @Option(names = "--stride", paramLabel = "TOKENS", converter = Converters.Positive.class)
    public int stride;
  }

  public static final class TaskOptions {
    @Everyday
    @Option(names = "--task", paramLabel = "FILE")
    public List<String> files = new ArrayList<>();

    @Option(names = "--limit", paramLabel = "N", converter = Converters.Positive.class)
    public int limit = Integer.MAX_VALUE;

    @Option(names = "--answer-tokens", paramLabel = "N", converter = Converters.Positive.class)
    public int newTokens = TaskMeter.NEW_TOKENS;
  }

  public static final class RecallOptions {
    private static final String ALL = "all";

    @Everyday
    @Option(
        names = "--recall",
        paramLabel = "TASK,TASK,...",
        hideParamSyntax = true,
        arity = "0..1",
        fallbackValue = ALL,
        split = ",")
    List<String> tasks = new ArrayList<>();

    @Option(
        names = "--recall-context",
        paramLabel = "TOKENS,TOKENS,...",
        hideParamSyntax = true,
        split = ",",
        converter = Converters.Positive.class)
    List<Integer> contexts = RecallSettings.DEFAULT.contexts();

    @Option(names = "--recall-passages", paramLabel = "N", converter = Converters.Positive.class)
    int passages = RecallSettings.DEFAULT.passages();

    public boolean isAsked() {
      return !tasks.isEmpty();
    }

    /**
     * What is asked.
     *
     * @throws IllegalArgumentException if there is no task of a name
     */
    public RecallSettings settings() {
      List<RecallTask> asked =
          tasks.equals(List.of(ALL))
              ? RecallSettings.DEFAULT.tasks()
              : tasks.stream().map(RecallTask::of).toList();
      return new RecallSettings(asked, contexts, passages, RecallSettings.DEFAULT.seed());
    }
  }

  public static final class SpeedOptions {
    @Everyday
    @Option(names = "--no-speed")
    boolean noSpeed;

    @Option(names = "--prompt-tokens", paramLabel = "N", converter = Converters.Positive.class)
    int promptTokens = SpeedMeter.Settings.DEFAULT.promptTokens();

    @Option(names = "--new-tokens", paramLabel = "N", converter = Converters.Positive.class)
    Integer newTokens;

    @Option(names = "--rounds", paramLabel = "N", converter = Converters.Positive.class)
    int rounds = SpeedMeter.Settings.DEFAULT.rounds();

    @Option(
        names = "--speed-context",
        paramLabel = "N,...",
        hideParamSyntax = true,
        arity = "0..1",
        fallbackValue = "0",
        split = ",",
        converter = Converters.Count.class)
    List<Integer> contexts;

    @Option(
        names = "--speed-sequences",
        paramLabel = "N,...",
        hideParamSyntax = true,
        split = ",",
        converter = Converters.Positive.class)
    List<Integer> sequences = ContextMeter.Settings.DEFAULT.batches();

    @Option(names = "--speed-budget", paramLabel = "SIZE", converter = Converters.Bytes.class)
    long budgetBytes;

    /** Null when speed is not measured. */
    public SpeedMeter.Settings settings() {
      int tokens = newTokens == null ? SpeedMeter.Settings.DEFAULT.newTokens() : newTokens;
      return noSpeed ? null : new SpeedMeter.Settings(promptTokens, tokens, rounds);
    }

    /** How speed and memory by context are measured; null where nobody asked for them. */
    public ContextMeter.Settings byContext() {
      if (contexts == null) {
        return null;
      }
      int tokens = newTokens == null ? ContextMeter.Settings.DEFAULT.newTokens() : newTokens;
      List<Integer> given = contexts.stream().filter(context -> context > 0).toList();
      return new ContextMeter.Settings(given, sequences, budgetBytes, 0, tokens, rounds);
    }
  }

  public static final class ComparisonOptions {
    @Option(names = "--compare", paramLabel = "N,N,...", hideParamSyntax = true, split = ",")
    public List<Double> sizes = new ArrayList<>();

    @Option(names = "--compare-folder", paramLabel = "DIR")
    public Path folder = Path.of("comparison");

    /** Numbers of layers; a fraction below 1 is one of all. */
    public List<Integer> sizes(int layers) {
      return sizes.stream().map(size -> (int) Math.round(size < 1 ? size * layers : size)).toList();
    }
  }

  public static final class OutputOptions {
    private static final String STANDARD_OUTPUT = "-";

    @Everyday
    @Option(names = "--format", paramLabel = "NAME")
    public Report.Format format = Report.Format.TEXT;

    @Everyday
    @Option(
        names = {"-o", "--output"},
        paramLabel = "FILE")
    public Path output;

    @Everyday
    @Option(names = "--json", paramLabel = "FILE", arity = "0..1", fallbackValue = STANDARD_OUTPUT)
    String json;

    @Everyday
    @Option(names = "--html", paramLabel = "FILE")
    public Path html;

    @Option(names = "--journal", paramLabel = "FILE")
    public Path journal;

    /** Whether the rows go to standard output, or to --output, as JSON alone. */
    public boolean jsonAlone() {
      return STANDARD_OUTPUT.equals(json);
    }

    /** The file of --json, or null. */
    public Path jsonFile() {
      return json == null || jsonAlone() ? null : Path.of(json);
    }
  }
}
