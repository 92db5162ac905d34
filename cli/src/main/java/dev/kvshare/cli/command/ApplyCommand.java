package dev.kvshare.cli.command;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.export.FolderExport;
import dev.kvshare.apply.export.LckvExport;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.GenerationRequest;
import dev.kvshare.apply.generate.GenerationResult;
import dev.kvshare.apply.generate.GenerationResult.Completion;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.generate.Prompt;
import dev.kvshare.apply.generate.SamplingOptions;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.cli.options.ApplyOptions;
import dev.kvshare.cli.options.ApplyOptions.GenerationOptions;
import dev.kvshare.cli.options.ApplyOptions.PromptOptions;
import dev.kvshare.cli.print.GenerationPrinter;
import dev.kvshare.cli.print.Invocation;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.eval.StockExport;
import dev.kvshare.eval.format.Report;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare apply}: generates text with a model under a policy. */
@Command(
    name = "apply",
    sortOptions = false,
    customSynopsis = "kvshare apply [OPTIONS] --prompt TEXT",
    footerHeading = "%nExamples%n")
final class ApplyCommand extends BaseCommand {

  private static final String EXAMPLE_PROMPT = "It was a fine morning";

  @Mixin private ApplyOptions options;

  @Override
  public Integer call() {
    Output output = output();
    if (options.export.target != null) {
      return export(output);
    }
    if (options.export.directory != null) {
      throw usageError("--out is the folder of an export: add --export");
    }
    List<Prompt> prompts = prompts(output);
    GenerationRequest request = request(prompts).withCachePolicy(cachePolicy());
    Path policy = options.model.effectivePolicy();
    if (policy == null) {
      output.detail("no policy: the model runs unshared");
    }
    PolicyModel.Options modelOptions =
        new PolicyModel.Options(
            locate(options.model.model),
            policy,
            options.model.decoderOptions(),
            options.model.force,
            !options.model.noRepair,
            options.model.prefill);
    interruption().advise("the text above is not complete.");
    try (PolicyModel model =
        ProgressLine.whileLoading(
            modelOptions.model(), output, () -> PolicyModel.load(modelOptions))) {
      List<String> titles = prompts.stream().map(Prompt::title).toList();
      if (titles.size() == 1 && !options.prompts.chat) {
        output.echo(titles.get(0));
      }
      GenerationResult result =
          model.generate(
              request,
              new GenerationPrinter(
                  output, titles, options.shown.printIds, options.shown.statsEvery));
      if (result.completions().stream().anyMatch(Completion::reachedLastPosition)) {
        output.note("a text ended because the model has no further position");
      }
      if (options.shown.stats) {
        output.printStatistics(result.facts(request.cachePolicy()));
      }
    }
    return ExitCodes.DONE;
  }

  private int export(Output output) {
    Path policyFile = options.model.effectivePolicy();
    Path directory = options.export.directory;
    if (policyFile == null || directory == null) {
      throw usageError("--export writes a model under a policy: give --policy and --out");
    }
    if (!options.model.force) {
      OutputFiles.requireNew(directory, "--out");
    }
    try (Checkpoint checkpoint = Checkpoints.open(locate(options.model.model))) {
      ModelSpec spec = ModelFamilies.spec(checkpoint);
      ModelIdentity identity = ModelIdentity.of(checkpoint, spec);
      Policy policy = PolicyFile.read(policyFile, identity, spec, options.model.force);
      Path repair = options.model.noRepair ? null : PolicyFile.weights(policy, policyFile);
      FolderExport.Target target = options.export.target.folder;
      if (target != null) {
        FolderExport.check(target, checkpoint, policy);
        if (target == FolderExport.Target.WINDOWS) {
          measureStock(policy, repair == null ? null : policyFile, output);
        }
        FolderExport.write(target, checkpoint, policy, repair, directory);
        output.results().println("wrote the folder " + directory);
        output.note("next: the command in " + directory.resolve("README.md"));
        return ExitCodes.DONE;
      }
      if (policy.plan().prefill() == Plan.Prefill.EXACT) {
        output.note(
            "the policy computes prompts exactly, which the LCKV code cannot do: there they run under the plan");
      }
      LckvExport.write(checkpoint, policy, repair, options.export.weights, directory);
      output
          .results()
          .println(
              "wrote the LCKV checkpoint "
                  + directory
                  + (repair == null ? "" : ", with the refitted weights of the policy"));
    }
    output.note("");
    output.note("next: " + Invocation.of(List.of("inspect", directory.toString())));
    return ExitCodes.DONE;
  }

  /** Says what an engine loses that keeps no first tokens and computes prompts under the plan. */
  private void measureStock(Policy policy, Path weights, Output output) {
    try (LoadedModel model =
        LoadedModel.open(locate(options.model.model), options.model.decoderOptions())) {
      output.results().print(StockExport.report(model, policy, weights).write(Report.Format.TEXT));
    }
  }

  private List<Prompt> prompts(Output output) {
    PromptOptions given = options.prompts;
    if (given.system != null && !given.chat) {
      throw usageError("--system is the system message of a chat: add --chat");
    }
    if (!given.ids.isEmpty()) {
      if (given.chat || !given.prompts.isEmpty() || given.file != null) {
        throw usageError("--prompt-ids cannot be combined with --prompt, --prompts or --chat");
      }
      return List.of(new Prompt.Ids(given.ids));
    }
    List<String> texts = new ArrayList<>(given.prompts);
    if (given.file != null) {
      texts.addAll(read(given.file));
    }
    if (texts.isEmpty()) {
      output.note("no --prompt given: continuing \"" + EXAMPLE_PROMPT + "\"");
      texts.add(EXAMPLE_PROMPT);
    }
    return texts.stream()
        .<Prompt>map(text -> given.chat ? Prompt.ofUser(given.system, text) : new Prompt.Text(text))
        .toList();
  }

  /** The lines of a file, or of standard input for {@code -}. */
  private static List<String> read(String name) {
    try {
      return name.equals("-")
          ? Prompt.lines(System.in.readAllBytes(), "standard input")
          : Prompt.lines(Files.readAllBytes(Path.of(name)), name);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private GenerationRequest request(List<Prompt> prompts) {
    GenerationOptions given = options.generation;
    return ofOptions(
        () ->
            new GenerationRequest(
                prompts,
                given.maxTokens,
                new SamplingOptions(
                    given.temperature,
                    given.topK,
                    given.topP,
                    given.minP,
                    given.repetitionPenalty,
                    given.seed),
                given.stop,
                given.ignoreEos,
                null));
  }

  private CachePolicy cachePolicy() {
    List<CachePolicy> policies = ofOptions(options.cache::policies);
    if (policies.size() > 1) {
      throw usageError("a text is generated with one cache policy: give one name to --cache");
    }
    return policies.isEmpty() ? null : policies.get(0);
  }
}
