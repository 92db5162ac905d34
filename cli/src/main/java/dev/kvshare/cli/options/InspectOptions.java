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

  @Parameters(arity = "0..1", paramLabel = "TARGET", descriptionKey = "TARGET")
  public String target;

  @ArgGroup(validate = false, order = 1, heading = "%nOptions%n")
  public GeneralOptions general = new GeneralOptions();

  @ArgGroup(validate = false, order = 2, heading = "%nSharing scheme, to draw or to check%n")
  public ModelSchemeOptions scheme = new ModelSchemeOptions();

  @ArgGroup(validate = false, order = 3, heading = "%nCheck against stored outputs%n")
  public CheckOptions check = new CheckOptions();

  public static final class GeneralOptions {
    @Everyday
    @Option(names = "--memory", paramLabel = "SIZE", converter = Converters.Bytes.class)
    public long memoryBytes = 8L << 30;

    @Everyday
    @Option(
        names = {"-p", "--policy"},
        paramLabel = "FILE")
    public Path policy;

    @Option(names = {"-f", "--force"})
    public boolean force;

    @Everyday
    @Option(names = "--dtype", paramLabel = "NAME", converter = Converters.NumberFormat.class)
    public ComputeType dtype = ComputeType.FLOAT32;
  }

  /** Schemes with what only checkpoints of the LCKV code, and none of its papers, have. */
  public static final class ModelSchemeOptions extends SchemeOptions {
    @Everyday
    @Option(names = "--scheme", paramLabel = "NAME")
    String scheme;

    @Option(names = "--window-plus-one")
    public boolean windowPlusOne;

    @Option(names = "--force-nodiag")
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
      return settings(scheme).plan(layers, plusOne ? 1 : 0, forceNodiag);
    }
  }

  public static final class CheckOptions {
    @Everyday
    @Option(names = "--check", paramLabel = "FILE")
    public Path file;

    @Option(names = "--input-ids", paramLabel = "ID,ID,...", hideParamSyntax = true, split = ",")
    public List<Integer> inputIds = new ArrayList<>();

    @Option(names = "--tensor", paramLabel = "NAME")
    public String tensor = CheckpointCheck.Request.LOGITS;

    @Option(names = "--prefill-tokens", paramLabel = "N", converter = Converters.Positive.class)
    public Integer prefillTokens;

    @Everyday
    @Option(names = "--tolerance", paramLabel = "X")
    public Double tolerance;
  }
}
