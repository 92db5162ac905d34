package dev.kvshare.cli.command;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.ModelDescription;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.PolicyDescription;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.cli.options.InspectOptions;
import dev.kvshare.cli.options.InspectOptions.CheckOptions;
import dev.kvshare.cli.print.Invocation;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.eval.check.CheckResult;
import dev.kvshare.eval.check.CheckpointCheck;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare inspect}: explains a model or a policy, or checks what a model computes. */
@Command(
    name = "inspect",
    sortOptions = false,
    customSynopsis = "kvshare inspect [OPTIONS] [TARGET]",
    footerHeading = "%nExamples%n")
final class InspectCommand extends BaseCommand {

  @Mixin private InspectOptions options;

  @Override
  public Integer call() {
    checkCombinations();
    Output output = output();
    Path target = locate(options.target);
    if (options.check.file != null) {
      return check(target, output);
    }
    if (PolicyFile.isPolicy(target)) {
      if (options.scheme.isGiven()) {
        throw usageError("a policy has its own map: leave out --scheme and --layer-types");
      }
      output.print(PolicyDescription.of(target, PolicyFile.read(target)));
      output.note("");
      output.note(
          "next: "
              + Invocation.of(List.of("apply", "--policy", target.toString(), "--prompt", "...")));
      return ExitCodes.DONE;
    }
    try (Checkpoint checkpoint = Checkpoints.open(target)) {
      ModelSpec spec = ModelFamilies.spec(checkpoint);
      Plan plan = plan(spec, ModelIdentity.of(checkpoint, spec), false);
      Map<String, List<String>> facts =
          new ModelDescription(checkpoint, spec, plan.map(), options.general.dtype)
              .facts(options.general.memoryBytes);
      if (!plan.isPlain() || !plan.map().isIdentity()) {
        PlanDescription.addTo(facts, plan);
      }
      output.print(facts);
    }
    return ExitCodes.DONE;
  }

  private int check(Path target, Output output) {
    CheckOptions given = options.check;
    DecoderOptions decoderOptions = new DecoderOptions("cpu", options.general.dtype, 0);
    try (LoadedModel model = ProgressLine.load(target, decoderOptions, output)) {
      CheckpointCheck.RecordedTensor reference =
          CheckpointCheck.RecordedTensor.of(given.tensor, options.scheme.isGiven());
      int prefillTokens =
          given.prefillTokens == null
              ? reference.prefillTokens(given.inputIds.size())
              : given.prefillTokens;
      List<CheckpointCheck.Request> requests =
          plansToCheck(model, reference).stream()
              .map(
                  plan ->
                      new CheckpointCheck.Request(
                          given.file,
                          plan,
                          given.inputIds,
                          given.tensor,
                          prefillTokens,
                          given.tolerance == null
                              ? CheckpointCheck.Request.usualTolerance(plan)
                              : given.tolerance))
              .toList();
      CheckResult result =
          new CheckpointCheck(model.decoder(), model.endTokens()).nearest(requests);
      output.print(result.facts());
      return result.passed() ? ExitCodes.DONE : ExitCodes.NOT_MET;
    }
  }

  /**
   * What to compare with: the plan that was asked for and, for outputs of the flash attention of
   * the LCKV code, also the one whose windows are longer by one token.
   */
  private List<Plan> plansToCheck(LoadedModel model, CheckpointCheck.RecordedTensor reference) {
    ModelSpec spec = model.decoder().spec();
    Plan plan = plan(spec, model.identity(), options.scheme.windowPlusOne);
    return !reference.flashAttention()
            || plan.windowedLayers().isEmpty()
            || options.scheme.windowPlusOne
        ? List.of(plan)
        : List.of(plan, plan(spec, model.identity(), true));
  }

  private void checkCombinations() {
    if (options.check.tolerance != null && !(options.check.tolerance >= 0)) {
      throw usageError("--tolerance must be a number of at least 0");
    }
    String problem = options.scheme.problem();
    if (problem != null) {
      throw usageError(problem);
    }
    if (options.scheme.isGiven() && options.general.policy != null) {
      throw usageError("--policy has its own map: leave out --scheme and --layer-types");
    }
  }

  /** The plan of --scheme, --layer-types or --policy, else the model's own. */
  private Plan plan(ModelSpec spec, ModelIdentity model, boolean plusOne) {
    if (options.scheme.isGiven()) {
      return ofOptions(() -> options.scheme.plan(spec.layers(), plusOne));
    }
    Path policy = options.general.policy;
    return policy == null
        ? spec.plan()
        : PolicyFile.read(policy, model, spec, options.general.force).plan();
  }
}
