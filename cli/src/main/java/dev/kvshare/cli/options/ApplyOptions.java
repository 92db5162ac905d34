package dev.kvshare.cli.options;

import dev.kvshare.apply.export.FolderExport;
import dev.kvshare.apply.export.LckvExport.KeyValueWeights;
import dev.kvshare.apply.plan.Plan;
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
        paramLabel = "FILE")
    Path policy;

    @Option(names = "--no-policy")
    boolean noPolicy;

    @Option(names = "--no-repair")
    public boolean noRepair;

    @Option(names = "--prefill", paramLabel = "NAME")
    public Plan.Prefill prefill;

    @Option(names = {"-f", "--force"})
    public boolean force;

    /** The policy to run under, null for none. */
    public Path effectivePolicy() {
      return noPolicy ? null : policy;
    }
  }

  public static final class ExportOptions {
    @Everyday
    @Option(names = "--export", paramLabel = "NAME")
    public ExportTarget target;

    @Everyday
    @Option(names = "--out", paramLabel = "DIR")
    public Path directory;

    @Option(names = "--kv-weights", paramLabel = "NAME")
    public KeyValueWeights weights = KeyValueWeights.OWN;
  }

  /** The programs that a model can be written for. */
  public enum ExportTarget {
    /** Layer-Condensed KV Cache. */
    LCKV(null),
    TRANSFORMERS(FolderExport.Target.TRANSFORMERS),
    VLLM(FolderExport.Target.VLLM),
    WINDOWS(FolderExport.Target.WINDOWS),
    DJL(FolderExport.Target.DJL);

    /** The kind of folder; null for a checkpoint of the LCKV code. */
    public final FolderExport.Target folder;

    ExportTarget(FolderExport.Target folder) {
      this.folder = folder;
    }
  }

  public static final class PromptOptions {
    @Everyday
    @Option(names = "--prompt", paramLabel = "TEXT")
    public List<String> prompts = new ArrayList<>();

    @Option(names = "--prompts", paramLabel = "FILE")
    public String file;

    @Option(names = "--prompt-ids", paramLabel = "ID,ID,...", hideParamSyntax = true, split = ",")
    public List<Integer> ids = new ArrayList<>();

    @Everyday
    @Option(names = "--chat")
    public boolean chat;

    @Option(names = "--system", paramLabel = "TEXT")
    public String system;
  }

  public static final class GenerationOptions {
    @Everyday
    @Option(
        names = {"-n", "--max-tokens"},
        paramLabel = "N",
        converter = Converters.Positive.class)
    public int maxTokens = 128;

    @Everyday
    @Option(names = "--temperature", paramLabel = "X")
    public double temperature;

    @Option(names = "--top-k", paramLabel = "N")
    public int topK;

    @Option(names = "--top-p", paramLabel = "X")
    public double topP = 1;

    @Option(names = "--min-p", paramLabel = "X")
    public double minP;

    @Option(names = "--repetition-penalty", paramLabel = "X")
    public double repetitionPenalty = 1;

    @Option(names = "--seed", paramLabel = "N")
    public long seed;

    @Option(names = "--ignore-eos")
    public boolean ignoreEos;

    @Everyday
    @Option(names = "--stop", paramLabel = "TEXT")
    public List<String> stop = new ArrayList<>();
  }

  public static final class OutputOptions {
    @Everyday
    @Option(names = "--stats")
    public boolean stats;

    @Option(names = "--stats-every", paramLabel = "N", converter = Converters.Positive.class)
    public int statsEvery;

    @Option(names = "--print-ids")
    public boolean printIds;
  }
}
