package dev.kvshare.cli.options;

import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.experiment.Experiment;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.speed.SpeedMeter;
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

  @ArgGroup(validate = false, order = 4, heading = "%nSpeed%n")
  public SpeedOptions speed = new SpeedOptions();

  @ArgGroup(validate = false, order = 5, heading = "%nComparison of methods%n")
  public ComparisonOptions comparison = new ComparisonOptions();

  @ArgGroup(validate = false, order = 6, heading = "%nOutput%n")
  public OutputOptions files = new OutputOptions();

  public static final class ModelAndPolicyOptions extends ModelOptions {
    @Everyday
    @Option(
        names = {"-p", "--policy"},
        paramLabel = "FILE",
        description = "A policy to measure; may be given several times.")
    public List<Path> policies = new ArrayList<>();

    @Option(
        names = "--no-repair",
        description = "Leave out the refitted weights of policies, and the repairs of a sweep.")
    public boolean noRepair;

    @Everyday
    @Option(
        names = {"-f", "--force"},
        description = {
          "Replace existing output files.",
          "And measure a policy that was made for another model with the same layers and heads."
        })
    public boolean force;

    @Everyday
    @Option(
        names = "--sweep",
        paramLabel = "X,X,...",
        hideParamSyntax = true,
        arity = "0..1",
        fallbackValue = "2,3,4",
        split = ",",
        converter = Converters.Positive.class,
        description = {
          "Measure the sharing schemes of the papers. Default for X: 2,3,4.",
          "With a KV cache that is X times smaller, the nine configurations of arXiv 2410.14442 (pizza, sandwich and lasagna; bottom, middle and top), and cla-2, cla-3, yoco, mixattention and lckv. Those whose sources lie below their readers are also measured repaired."
        })
    public List<Integer> reductions = new ArrayList<>();

    @Option(
        names = "--sweep-window",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class,
        description =
            "The sliding window of yoco and mixattention in a sweep. Default: a quarter of --passage-tokens.")
    public Integer sweepWindow;

    @Option(
        names = "--sweep-folder",
        paramLabel = "DIR",
        description =
            "Keep the repaired policies of a sweep and what was measured but the speed in DIR: a sweep that was interrupted goes on from there, and after one with --no-speed another run measures the speed alone. What was made with another model, number format, device or repair text is refused.")
    public Path sweepFolder;

    @Option(
        names = "--repair-text",
        paramLabel = "TEXT",
        description =
            "With --sweep and --compare, the text file, .jsonl file (its field text, input_ids or token_ids) or data set that searches and repairs read. Default: the model's default calibration text.")
    public String repairText;

    @Option(
        names = "--repair-tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description =
            "With --sweep and --compare, the most tokens of that text that a repair reads. Default: 20000.")
    public int repairTokens = Experiment.REPAIR_TOKENS;
  }

  public static final class ComparedCacheOptions extends CachePolicyOptions {
    @Option(
        names = "--cache-prompt",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class,
        description =
            "Tokens of each passage that are the prompt. Default: half of the passage. Several names may be given to --cache here, separated by commas.")
    public int prompt;

    @Option(
        names = "--stream",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class,
        description =
            "Read so many tokens of the text as one, and print perplexity and memory for each 2,000 of them instead: what a cache policy for texts of any length is for.")
    public Integer stream;
  }

  public static final class PassageOptions extends TextOptions {

    @Everyday
    @Option(
        names = "--passage-tokens",
        paramLabel = "TOKENS",
        converter = Converters.Positive.class,
        description = "Tokens a passage; each but the first is predicted. Default: 512.")
    public int tokens = Evaluator.PASSAGE_TOKENS;

    @Everyday
    @Option(
        names = "--passages",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = {
          "The most passages. Default: 12.",
          "They stand one after another at the start of the text."
        })
    public int count = Evaluator.PASSAGES;
  }

  public static final class SpeedOptions {
    @Everyday
    @Option(names = "--no-speed", description = "Measure quality and memory only.")
    boolean noSpeed;

    @Option(
        names = "--prompt-tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Tokens of the prompt. Default: 256.")
    int promptTokens = SpeedMeter.Settings.DEFAULT.promptTokens();

    @Option(
        names = "--new-tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Tokens decoded after it. Default: 32.")
    int newTokens = SpeedMeter.Settings.DEFAULT.newTokens();

    @Option(
        names = "--rounds",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Repetitions, of which the median counts. Default: 3.")
    int rounds = SpeedMeter.Settings.DEFAULT.rounds();

    /** Null when speed is not measured. */
    public SpeedMeter.Settings settings() {
      return noSpeed ? null : new SpeedMeter.Settings(promptTokens, newTokens, rounds);
    }
  }

  public static final class ComparisonOptions {
    @Option(
        names = "--compare",
        paramLabel = "N,N,...",
        hideParamSyntax = true,
        split = ",",
        description =
            "Instead, compare the methods of calibration: search plans that reduce so many layers (or fractions of all layers) by 'kvsharer', 'similar', 'random' (mean of five seeds), 'share', 'windows' and 'auto', and measure each with and without repair. --text may then be given several times.")
    public List<Double> sizes = new ArrayList<>();

    @Option(
        names = "--compare-folder",
        paramLabel = "DIR",
        description =
            "Where the policies and what was measured of each are kept; a comparison that was interrupted goes on from there, and another one adds texts. Default: comparison.")
    public Path folder = Path.of("comparison");

    /** Numbers of layers; a fraction below 1 is one of all. */
    public List<Integer> sizes(int layers) {
      return sizes.stream().map(size -> (int) Math.round(size < 1 ? size * layers : size)).toList();
    }
  }

  public static final class OutputOptions {
    private static final String STANDARD_OUTPUT = "-";

    @Everyday
    @Option(
        names = "--format",
        paramLabel = "NAME",
        description = "text, markdown, csv or json. Default: text.")
    public Report.Format format = Report.Format.TEXT;

    @Everyday
    @Option(
        names = {"-o", "--output"},
        paramLabel = "FILE",
        description = "Write the table to FILE instead of standard output.")
    public Path output;

    @Everyday
    @Option(
        names = "--json",
        paramLabel = "FILE",
        arity = "0..1",
        fallbackValue = STANDARD_OUTPUT,
        description = {"Write the rows as JSON, alone or to FILE beside the table."})
    String json;

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
