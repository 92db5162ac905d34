package dev.kvshare.cli;

import dev.kvshare.apply.ModelIdentities;
import dev.kvshare.cli.InspectOptions.CheckOptions;
import dev.kvshare.eval.CheckRequest;
import dev.kvshare.eval.CheckResult;
import dev.kvshare.eval.CheckpointCheck;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.model.family.ModelFamilies;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.ModelIdentity;
import dev.kvshare.policy.PolicyFile;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.runtime.DecoderOptions;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare inspect}: explains a model or a policy, or checks what a model computes. */
@Command(
    name = "inspect",
    sortOptions = false,
    customSynopsis = "kvshare inspect [OPTIONS] [TARGET]",
    header = "Explain a model directory, a GGUF file or a policy.",
    description = {
      "",
      "Of a model it says the family, layers, heads, what the KV cache costs, which layers may"
          + " share, and how much context fits into a given memory. Of a policy it draws the map and"
          + " says where it came from and what it saves.",
      "",
      "With --check it runs the model on the 'input_ids' of a .safetensors file and compares with"
          + " the 'logits', 'last_hidden' and 'greedy' stored there: so you can verify that your"
          + " checkpoint computes what another implementation computed.",
      ""
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare inspect",
      "  kvshare inspect model.gguf --memory 16GiB",
      "  kvshare inspect policy.json",
      "  kvshare inspect models/SmolLM2 --check reference.safetensors --tolerance 1e-3",
      "",
      "Exit codes: 0 done; 3 a difference is above the tolerance; 1 failed; 2 bad usage;",
      "130 interrupted."
    })
final class InspectCommand extends Verb {

  @Mixin private InspectOptions options;

  @Override
  public Integer call() {
    if (!(options.check.tolerance >= 0)) {
      throw usageError("--tolerance must be a number of at least 0");
    }
    Output output = output();
    Path target = locate(options.target);
    if (options.check.file != null) {
      return check(target, output);
    }
    if (isPolicy(target)) {
      PolicyDescription.of(target, PolicyFile.read(target)).print(output.results());
      output.note("");
      output.note(
          "next: "
              + Invocation.of(List.of("apply", "--policy", target.toString(), "--prompt", "...")));
      return ExitCodes.DONE;
    }
    try (Checkpoint checkpoint = Checkpoints.open(target)) {
      ModelSpec spec = ModelFamilies.spec(checkpoint);
      new ModelDescription(
              checkpoint,
              spec,
              plan(spec, ModelIdentities.of(checkpoint, spec)).map(),
              options.general.dtype)
          .facts(options.general.memoryBytes)
          .print(output.results());
    }
    return ExitCodes.DONE;
  }

  private int check(Path target, Output output) {
    CheckOptions given = options.check;
    DecoderOptions decoderOptions = new DecoderOptions("cpu", options.general.dtype, 0);
    try (OpenModel model = OpenModel.open(target, decoderOptions, output)) {
      CheckRequest request =
          new CheckRequest(
              given.file,
              plan(model.decoder().spec(), model.identity()),
              given.inputIds,
              given.tensor,
              given.prefillTokens == null ? 0 : given.prefillTokens,
              given.tolerance);
      CheckResult result = new CheckpointCheck(model.decoder(), model.endTokens()).run(request);
      CheckDescription.of(result, given.tolerance).print(output.results());
      return result.passed() ? ExitCodes.DONE : ExitCodes.NOT_MET;
    }
  }

  /** The plan of --policy, or the model's own. */
  private SharingPlan plan(ModelSpec spec, ModelIdentity model) {
    Path policy = options.general.policy;
    return policy == null
        ? spec.plan()
        : SharingPlan.of(EvaluatedPolicy.read(policy, model, options.general.force).policy());
  }

  /** Policies are JSON objects; models are directories or start with GGUF's magic number. */
  private static boolean isPolicy(Path target) {
    if (!Files.isRegularFile(target)) {
      return false;
    }
    try (InputStream in = Files.newInputStream(target)) {
      int first = in.read();
      while (Character.isWhitespace(first)) {
        first = in.read();
      }
      return first == '{';
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
