package dev.kvshare.cli.options;

import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.eval.check.CheckpointCheck;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The options of {@code kvshare inspect}, grouped as its help shows them. */
public final class InspectOptions {

  @Parameters(
      arity = "0..1",
      paramLabel = "TARGET",
      description =
          "A model directory, a .gguf file, a hub id org/name[@revision] or a policy file. Default: the built-in model.")
  public String target;

  @ArgGroup(validate = false, order = 1, heading = "%nOptions%n")
  public GeneralOptions general = new GeneralOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nSharing scheme, to draw or to check%n")
  public ModelSchemeOptions scheme = new ModelSchemeOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nCheck against stored outputs%n")
  public CheckOptions check = new CheckOptions();

  public static final class GeneralOptions {
    @Everyday
    @Option(
        names = "--memory",
        paramLabel = "SIZE",
        converter = Converters.Bytes.class,
        description = {
          "Memory for weights and KV cache. Default: 8GiB.",
          "The largest batch and context that fit follow from it."
        })
    public long memoryBytes = 8L << 30;

    @Everyday
    @Option(
        names = {"-p", "--policy"},
        paramLabel = "FILE",
        description = "Reckon, or check, under this policy.")
    public Path policy;

    @Option(
        names = {"-f", "--force"},
        description =
            "Take a policy that was made for another model with the same layers and heads.")
    public boolean force;

    @Everyday
    @Option(
        names = "--dtype",
        paramLabel = "NAME",
        converter = Converters.NumberFormat.class,
        description = "float32, bfloat16 or float16, to reckon or check with. Default: float32.")
    public ComputeType dtype = ComputeType.FLOAT32;
  }

  /** Schemes with what only checkpoints of the LCKV code, and none of its papers, have. */
  public static final class ModelSchemeOptions extends SchemeOptions {
    @Everyday
    @Option(
        names = "--scheme",
        paramLabel = "NAME",
        description = {
          "A sharing scheme of the papers, such as sandwich-middle, cla-2, yoco or lckv.",
          "'kvshare calibrate --help-all' says what each is, at --method."
        })
    String scheme;

    @Option(
        names = "--window-plus-one",
        description =
            "Let layers with a sliding window see one token more, as the flash attention of the LCKV code does.")
    public boolean windowPlusOne;

    @Option(
        names = "--force-nodiag",
        description = "Let no layer see the keys and values of the current token.")
    boolean forceNodiag;

    public boolean isGiven() {
      return scheme != null || layerTypes != null;
    }

    /** What is wrong with the combination, or null. */
    public String problem() {
      return problem(scheme, "--scheme");
    }

    /** The plan that the options choose, for a model of so many layers. */
    public Plan plan(int layers, boolean plusOne) {
      return types(scheme, layers).plan(window(scheme) + (plusOne ? 1 : 0), reading(), forceNodiag);
    }
  }

  public static final class CheckOptions {
    @Everyday
    @Option(
        names = "--check",
        paramLabel = "FILE",
        description = "A .safetensors file with the stored outputs.")
    public Path file;

    @Option(
        names = "--input-ids",
        paramLabel = "ID,ID,...",
        hideParamSyntax = true,
        split = ",",
        description = "Token ids to run instead of the file's 'input_ids'.")
    public List<Integer> inputIds = new ArrayList<>();

    @Option(
        names = "--tensor",
        paramLabel = "NAME",
        description =
            "The stored logits. Default: logits. With a scheme, a name CONFIG/VARIANT/MODE as in outputs of the LCKV code says more: MODE incremental runs half of the tokens at once and the rest one by one, VARIANT flash is compared with and without --window-plus-one, and the better fit counts.")
    public String tensor = CheckpointCheck.Request.LOGITS;

    @Option(
        names = "--prefill-tokens",
        paramLabel = "N",
        converter = Converters.Positive.class,
        description = "Run N tokens at once and the rest one by one. Default: all at once.")
    public Integer prefillTokens;

    @Everyday
    @Option(
        names = "--tolerance",
        paramLabel = "X",
        description = {
          "Largest absolute difference that passes. Default: 2e-4.",
          "The default is 1e-2 where sources lie above their readers, since passes amplify rounding."
        })
    public Double tolerance;
  }
}
