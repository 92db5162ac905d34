package dev.kvshare.cli.options;

import dev.kvshare.apply.export.LckvExport.KeyValueWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** The options of {@code kvshare apply}, grouped as its help shows them. */
public final class ApplyOptions {

  @ArgGroup(validate = false, order = 1, heading = "%nModel and policy%n")
  public ModelAndPolicyOptions model = new ModelAndPolicyOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nCache policy%n")
  public CachePolicyOptions cache = new CachePolicyOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nPrompts%n")
  public PromptOptions prompts = new PromptOptions();

  @ArgGroup(validate = false, order = 4, heading = "%nGeneration%n")
  public GenerationOptions generation = new GenerationOptions();

  @ArgGroup(validate = false, order = 6, heading = "%nExport, in place of generation%n")
  public ExportOptions export = new ExportOptions();

  @ArgGroup(validate = false, order = 5, heading = "%nOutput%n")
  public OutputOptions shown = new OutputOptions();

  public static final class ModelAndPolicyOptions extends ModelOptions {
    @Everyday
    @Option(
        names = {"-p", "--policy"},
        paramLabel = "FILE",
        description = "The policy to run under. Default: none, the model runs unshared.")
    Path policy;

    @Option(
        names = "--no-policy",
        description = "Run unshared also when --policy is given: to compare by one added word.")
    boolean noPolicy;

    @Option(
        names = "--no-repair",
        description = "Leave out the refitted weights of the policy: plain sharing.")
    public boolean noRepair;

    @Option(
        names = {"-f", "--force"},
        description =
            "Apply a policy that was made for another model with the same layers and heads.")
    public boolean force;

    /** The policy to run under, null for none. */
    public Path effectivePolicy() {
      return noPolicy ? null : policy;
    }
  }

  public static final class ExportOptions {
    @Everyday
    @Option(
        names = "--export",
        paramLabel = "NAME",
        description = {
          "Write a checkpoint for another program: lckv.",
          "lckv: a checkpoint of the LCKV code (model_type lckv-llama) from a Llama model under the policy."
        })
    public ExportTarget target;

    @Everyday
    @Option(names = "--out", paramLabel = "DIR", description = "The folder of the export.")
    public Path directory;

    @Option(
        names = "--kv-weights",
        paramLabel = "NAME",
        description = {
          "Key and value weights of a layer that others read: own or averaged. Default: own.",
          "own: as under the policy. averaged: over its readers, as convert_pretrained.py of the LCKV code does before training."
        })
    public KeyValueWeights weights = KeyValueWeights.OWN;
  }

  /** The programs that a model can be written for. */
  enum ExportTarget {
    /** Layer-Condensed KV Cache. */
    LCKV
  }

  public static final class PromptOptions {
    @Everyday
    @Option(
        names = "--prompt",
        paramLabel = "TEXT",
        description = "A text to continue; may be given several times: all run as one batch.")
    public List<String> prompts = new ArrayList<>();

    @Option(
        names = "--prompts",
        paramLabel = "FILE",
        description = "A file with one prompt a line, or - for standard input.")
    public String file;

    @Option(
        names = "--prompt-ids",
        paramLabel = "ID,ID,...",
        hideParamSyntax = true,
        split = ",",
        description = "Token ids to continue, such as 5,7,9; needs no tokenizer.")
    public List<Integer> ids = new ArrayList<>();

    @Everyday
    @Option(
        names = "--chat",
        description = "Ask each prompt as a user's message, by the model's own chat template.")
    public boolean chat;

    @Option(
        names = "--system",
        paramLabel = "TEXT",
        description = "The system message of --chat. Default: the chat template's own.")
    public String system;
  }

  public static final class GenerationOptions {
    @Everyday
    @Option(
        names = {"-n", "--max-tokens"},
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "The most new tokens for a prompt. Default: 128.")
    public int maxTokens = 128;

    @Everyday
    @Option(
        names = "--temperature",
        paramLabel = "X",
        description = "0 takes the likeliest token; higher varies more. Default: 0.")
    public double temperature;

    @Option(
        names = "--top-k",
        paramLabel = "N",
        description = "Choose among the N likeliest tokens. Default: 0, all.")
    public int topK;

    @Option(
        names = "--top-p",
        paramLabel = "X",
        description = "Choose among the likeliest tokens that together have X. Default: 1, all.")
    public double topP = 1;

    @Option(
        names = "--min-p",
        paramLabel = "X",
        description = "Leave out tokens below X times the likeliest one's. Default: 0, none.")
    public double minP;

    @Option(
        names = "--repetition-penalty",
        paramLabel = "X",
        description = "Above 1 makes tokens that were seen less likely. Default: 1.")
    public double repetitionPenalty = 1;

    @Option(
        names = "--seed",
        paramLabel = "N",
        description = "The same seed gives the same text. Default: 0.")
    public long seed;

    @Option(
        names = "--ignore-eos",
        description = "Go on to --max-tokens: tokens that end a text are never chosen.")
    public boolean ignoreEos;

    @Everyday
    @Option(
        names = "--stop",
        paramLabel = "TEXT",
        description = "End before this text; may be given several times.")
    public List<String> stop = new ArrayList<>();
  }

  public static final class OutputOptions {
    @Everyday
    @Option(
        names = "--stats",
        description = "Say tokens per second, KV bytes per token and peak memory at the end.")
    public boolean stats;

    @Option(
        names = "--stats-every",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Say the size of KV cache and process each time N tokens are generated.")
    public int statsEvery;

    @Option(names = "--print-ids", description = "Print token ids instead of text.")
    public boolean printIds;
  }
}
