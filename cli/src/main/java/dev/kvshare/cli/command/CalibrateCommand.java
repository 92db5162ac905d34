package dev.kvshare.cli.command;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.policy.PolicyDescription;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.cli.options.CalibrateOptions;
import dev.kvshare.cli.print.CalibrationProgress;
import dev.kvshare.cli.print.Invocation;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare calibrate}: finds a plan and writes it as a policy. */
@Command(
    name = "calibrate",
    sortOptions = false,
    customSynopsis = "kvshare calibrate [OPTIONS]",
    footerHeading = "%nExamples%n")
final class CalibrateCommand extends BaseCommand {

  /** What changes neither plan nor weights, and is left out of the command in the policy. */
  private static final List<String> WITHOUT_EFFECT =
      words(
          "--out --force --report --no-report --save-stats --resume --batch-memory --offload --config --quiet --verbose --no-color");

  /** Options of a search. */
  private static final List<String> SEARCHING =
      words(
          "--keep --context --share-layers --window-layers --threshold --max-kl --max-perplexity-rise --window --sinks --across-kinds --prefer-top --resume --stats --save-stats --report");

  /** What layers that share alone have no use for. */
  private static final List<String> SHARING_LEAVES_OUT =
      List.of("--method", "--context", "--window", "--sinks", "--out", "--force", "--config");

  @Mixin private CalibrateOptions options;

  @Override
  public Integer call() {
    checkCombinations();
    try {
      return options.search.dryRun ? forecast() : calibrate();
    } catch (CalibrationException.Usage e) {
      throw usageError(e.getMessage());
    }
  }

  /** Refuses what would be ignored. */
  private void checkCombinations() {
    String problem = options.problem();
    if (problem != null) {
      throw usageError(problem);
    }
    refuse("--layer-types", "--method");
    refuse("--share-layers", "--keep");
    refuse("--window-layers", "--keep", "--share-layers", "--method", "--layer-types");
    refuse("--report", "--no-report");
    if (options.goal.target == CalibrateOptions.Target.STOCK) {
      refuse("--for", "--sinks", "--share-layers", "--layer-types");
    }
    refuse("--no-repair", "--repair", "--repair-text", "--repair-tokens", "--repair-parts");
    refuse("--stats", "--text", "--dataset", "--samples", "--tokens", "--save-stats");
    boolean repairs = options.isScheme();
    if (options.isScheme()) {
      for (String option : SEARCHING) {
        if (given(option)) {
          throw usageError(
              "a scheme says what is shared, and nothing is searched: leave out " + option);
        }
      }
    } else {
      checkMethod(options.method());
      repairs = options.method().repairs();
    }
    if (!repairs && !given("--repair")) {
      for (String option : List.of("--repair-text", "--repair-tokens", "--repair-parts")) {
        if (given(option)) {
          throw usageError(
              "the method %s is not repaired: add --repair, or leave out %s"
                  .formatted(options.goal.method, option));
        }
      }
    }
  }

  private void checkMethod(Method method) {
    String name = method.methodName();
    if (!method.shares() && given("--share-layers")) {
      throw usageError("with the method " + name + " no layers share: give --keep instead");
    }
    if (!method.shares() && given("--stats")) {
      throw usageError(
          "--stats holds samples that are too short to see what windows lose: give a text instead");
    }
    if (given("--prefer-top") && !(method.shares() && method.repairs())) {
      throw usageError("--prefer-top is for the methods auto and share: leave it out");
    }
    if (!method.windows() || given("--share-layers")) {
      for (String option : List.of("--window", "--sinks", "--context")) {
        if (given(option)) {
          throw usageError(
              "%s is for layers that keep the first and last tokens, and here layers only share: leave it out, or choose the method windows, or auto with --keep"
                  .formatted(option));
        }
      }
    }
  }

  private int forecast() {
    Corpus text = options.text(datasets());
    Corpus repairText = options.repairText(datasets());
    options
        .configure(Calibration.of(locate(options.model.model)), text, repairText)
        .forecast()
        .lines()
        .forEach(output().results()::println);
    return ExitCodes.DONE;
  }

  private int calibrate() {
    Output output = output();
    CalibrationFiles files = CalibrationFiles.choose(options);
    // Read before the model, because texts fail sooner.
    Corpus text = options.text(datasets());
    Corpus repairText = options.repairText(datasets());
    if (!options.isScheme()) {
      interruption().advise(adviceToResume());
    }
    CalibrationResult result;
    try (ProgressLine progress = new ProgressLine(output);
        LoadedModel model =
            ProgressLine.load(locate(options.model.model), options.decoderOptions(), output)) {
      result =
          options
              .configure(Calibration.of(model), text, repairText)
              .journal(options.isScheme() ? null : files.journal())
              .listener(new CalibrationProgress(output, progress, options.methodName()))
              .command("kvshare " + Invocation.words(command(WITHOUT_EFFECT)))
              .run();
    }
    result.write(files.policy(), files.report(), files.statistics());
    print(result, files, output);
    return result.reached() ? ExitCodes.DONE : ExitCodes.NOT_MET;
  }

  /** The result, the files and what to do next. */
  private void print(CalibrationResult result, CalibrationFiles files, Output output) {
    PrintWriter out = output.results();
    boolean given = result.statistics() == null;
    if (given) {
      output.print(PolicyDescription.of(files.policy(), result.policy()));
    } else {
      result.lines(this::byMethod).forEach(out::println);
    }
    out.println();
    files.written(result).forEach((what, file) -> out.println("wrote the " + what + " " + file));
    String policy = files.policy().toString();
    if (!given && result.sharesAlone()) {
      output.note("");
      output.note(
          "Layers that keep the first and last tokens only have lost less so far: compare --method windows --keep %dlayers."
              .formatted(result.policy().map().ownedLayers()));
    }
    output.note("");
    String eval = Invocation.of("eval", options.model, List.of("--policy", policy));
    if (given) {
      output.note("next: " + eval);
      return;
    }
    output.note("next:");
    List<String> apply =
        List.of("--policy", policy, "--temperature", "0.8", "--prompt", "It was a fine morning");
    output.note("  " + Invocation.of("apply", options.model, apply));
    output.note("  " + eval);
    if (options.goal.target != null) {
      String name = options.goal.target.folder.name().toLowerCase(Locale.ROOT);
      List<String> words = List.of("--policy", policy, "--export", name, "--out", name);
      output.note("  " + Invocation.of("apply", options.model, words));
    }
    if (files.report() != null) {
      output.note("  open " + Invocation.quote(files.report().toString()) + " in a browser");
    }
  }

  private String byMethod(String method) {
    List<String> words = new ArrayList<>(command(SHARING_LEAVES_OUT));
    words.addAll(List.of("--method", method));
    return Invocation.of(words);
  }

  private static List<String> words(String options) {
    return List.of(options.split(" "));
  }

  private String adviceToResume() {
    List<String> words = new ArrayList<>(arguments());
    if (!options.search.resume) {
      words.add("--resume");
    }
    return "the search goes on where it stopped with:\n  " + Invocation.of(words);
  }
}
