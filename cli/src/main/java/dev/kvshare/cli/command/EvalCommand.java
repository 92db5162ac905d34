package dev.kvshare.cli.command;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.cli.options.EvalOptions;
import dev.kvshare.cli.print.CalibrationProgress;
import dev.kvshare.cli.print.Invocation;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.experiment.Experiment;
import dev.kvshare.eval.experiment.Trials;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.recall.RecallSettings;
import dev.kvshare.eval.tasks.TaskSchema;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare eval}: compares the unshared model and policies side by side. */
@Command(
    name = "eval",
    sortOptions = false,
    customSynopsis = "kvshare eval [OPTIONS] [--policy FILE]...",
    footerHeading = "%nExamples%n")
final class EvalCommand extends BaseCommand {

  /** What is of use where the quality is measured on passages of a text, and nowhere else. */
  private static final String[] OF_QUALITY =
      "--stream --sweep --compare --passages --passage-tokens --stride --no-speed --prompt-tokens"
          .split(" ");

  @Mixin private EvalOptions options;

  @Override
  public Integer call() {
    EvalOptions.OutputOptions files = options.files;
    checkCombinations();
    if (!options.model.force) {
      OutputFiles.requireNew(files.output, "--output");
      OutputFiles.requireNew(files.jsonFile(), "--json");
      OutputFiles.requireNew(files.html, "--html");
    }
    OutputFiles.checkWritable(files.output, files.jsonFile(), files.html);
    Output output = output();
    List<TaskSchema.Items> tasks =
        options.tasks.files.stream().map(datasets()::file).map(TaskSchema::read).toList();
    List<Corpus> texts = options.text.loadAll(datasets(), Datasets.DEFAULT_EVALUATION);
    boolean sweep = !options.model.reductions.isEmpty();
    boolean compare = !options.comparison.sizes.isEmpty();
    Corpus calibration = (sweep || compare) && !options.model.noRepair ? repairCorpus() : null;
    Report report;
    try (ProgressLine progress = new ProgressLine(output);
        LoadedModel model =
            ProgressLine.load(
                locate(options.model.model), options.model.decoderOptions(), output)) {
      List<EvaluatedPolicy> policies = policies(model);
      Evaluator evaluator =
          Evaluator.of(model)
              .text(texts.get(0))
              .passages(options.text.count, options.text.tokens)
              .stride(options.text.stride)
              .journal(options.files.journal)
              .baselines(!options.model.noBaselines)
              .command("kvshare " + Invocation.words(arguments()))
              .policies(policies)
              .caches(caches(), options.cache.prompt)
              .speed(options.speed.settings())
              .datasets(datasets())
              .listener((phase, done, total) -> progress.show(phase, done, total, ""));
      Experiment experiment =
          Experiment.of(evaluator)
              .texts(texts)
              .repair(calibration, options.model.repairTokens)
              .listener(trial -> progress.note("measured " + trial));
      if (compare) {
        report =
            experiment
                .folder(options.comparison.folder)
                .trials(
                    Trials.methods(
                        model,
                        calibration,
                        options.comparison.sizes(model.decoder().spec().layers()),
                        new CalibrationProgress(output, progress, "calibration")))
                .compare()
                .report();
      } else if (!tasks.isEmpty()) {
        report = evaluator.tasks(tasks, options.tasks.limit, options.tasks.newTokens).report();
        warnAll(report, progress, output);
      } else if (options.speed.byContext() != null) {
        report = evaluator.speedByContext(options.speed.byContext()).report();
      } else if (options.recall.isAsked()) {
        report = evaluator.recall(recallSettings()).report();
        warnAll(report, progress, output);
      } else if (options.cache.stream != null) {
        if (sweep) {
          schemes(model)
              .forEach(
                  trial -> policies.add(new EvaluatedPolicy(trial.name(), trial.search().get())));
        }
        report = evaluator.policies(policies).stream(options.cache.stream).report();
      } else {
        EvaluationReport rows =
            sweep
                ? experiment.folder(options.model.sweepFolder).trials(schemes(model)).table()
                : evaluator.run();
        warn(rows, progress, output);
        report = sweep ? rows.report().with(Trials.POST_HOC) : rows.report();
      }
    }
    print(report, output);
    if (options.model.policies.isEmpty() && !sweep && !compare && options.cache.stream == null) {
      output.note("");
      output.note(
          "next: compare policies with the unshared model by --policy FILE, which may be given several times");
    }
    return ExitCodes.DONE;
  }

  private List<Experiment.Trial> schemes(LoadedModel model) {
    Integer given = options.model.sweepWindow;
    int window = given == null ? Math.max(1, options.text.tokens / 4) : given;
    return Trials.schemes(model.identity(), options.model.reductions, window);
  }

  /** Refuses what would be ignored. */
  private void checkCombinations() {
    boolean compare = given("--compare");
    String problem = options.text.problem(compare);
    if (problem != null) {
      throw usageError(problem);
    }
    if (options.text.tokens < 2) {
      throw usageError(
          "--passage-tokens must be at least 2: the first token of a passage is not predicted");
    }
    caches(); // refuses names and budgets without meaning
    recallSettings();
    for (String other : List.of("--no-speed", "--stream", "--compare")) {
      refuse(other, "--prompt-tokens", "--new-tokens", "--rounds");
    }
    for (String other : List.of("--task", "--recall", "--speed-context")) {
      refuse(other, OF_QUALITY);
    }
    refuse("--task", "--cache", "--text", "--dataset", "--new-tokens", "--rounds");
    refuse("--recall", "--speed-context", "--task", "--cache-prompt", "--new-tokens", "--rounds");
    refuse("--speed-context", "--task", "--text", "--dataset", "--no-baselines", "--cache-prompt");
    require("--recall-context", "--recall");
    require("--recall-passages", "--recall");
    require("--speed-sequences", "--speed-context");
    require("--speed-budget", "--speed-context");
    require("--limit", "--task");
    require("--answer-tokens", "--task");
    refuse("--stride", "--cache", "--stream", "--sweep", "--compare");
    refuse("--journal", "--stream", "--sweep", "--compare");
    refuse("--stream", "--passages", "--cache-prompt", "--sweep-folder");
    if (!given("--sweep")) {
      refuse("--stream", "--passage-tokens");
    }
    refuse(
        "--compare", "--policy", "--no-repair", "--sweep", "--cache", "--cache-prompt", "--stream");
    require("--compare-folder", "--compare");
    require("--sweep-window", "--sweep");
    require("--sweep-folder", "--sweep");
    require("--cache-prompt", "--cache");
    require("--no-baselines", "--policy");
    refuse("--no-baselines", "--cache", "--stream", "--sweep", "--compare", "--task");
    require("--no-repair", "--policy", "--sweep");
    require("--repair-text", "--compare", "--sweep");
    require("--repair-tokens", "--compare", "--sweep");
    if (!compare) {
      refuse("--no-repair", "--repair-text", "--repair-tokens");
    }
    if (options.files.jsonAlone() && options.files.format != Report.Format.TEXT) {
      throw usageError("--json and --format both choose the format: give one of them");
    }
  }

  /** Read before the text is encoded: a policy of another model is refused first. */
  private List<EvaluatedPolicy> policies(LoadedModel model) {
    List<EvaluatedPolicy> policies = new ArrayList<>();
    for (Path file : options.model.policies) {
      EvaluatedPolicy policy = EvaluatedPolicy.read(file, model, options.model.force);
      policies.add(options.model.noRepair ? policy.withoutRepair() : policy);
    }
    return policies;
  }

  /** What the searches and repairs of a sweep or comparison read. */
  private Corpus repairCorpus() {
    return options.model.repairText == null
        ? datasets().find(options.model.calibrationDataset()).load()
        : datasets().resolve(options.model.repairText, null, System.in).load();
  }

  private List<CachePolicy> caches() {
    return ofOptions(options.cache::policies);
  }

  private RecallSettings recallSettings() {
    return ofOptions(
        () -> options.recall.isAsked() ? options.recall.settings() : RecallSettings.DEFAULT);
  }

  private static void warnAll(Report report, ProgressLine progress, Output output) {
    progress.close();
    report.warnings().forEach(output::warn);
  }

  /** A text shorter than the default number of passages is worth a note, not a warning. */
  private void warn(EvaluationReport report, ProgressLine progress, Output output) {
    progress.close();
    List<String> notes = given("--passages") ? List.of() : report.protocol().passages().notes();
    for (String warning : report.warnings()) {
      if (notes.contains(warning)) {
        output.note(warning);
      } else {
        output.warn(warning);
      }
    }
    report.remarks().forEach(output::note);
  }

  /** Prints a report, or writes it to the files that were asked for. */
  private void print(Report report, Output output) {
    EvalOptions.OutputOptions files = options.files;
    Report.Format format = files.jsonAlone() ? Report.Format.JSON : files.format;
    String text = report.write(format);
    if (files.output == null) {
      output.results().print(text);
      output.results().flush();
    } else {
      write(files.output, text, output);
    }
    if (files.jsonFile() != null) {
      write(files.jsonFile(), report.write(Report.Format.JSON), output);
    }
    if (files.html != null) {
      write(files.html, report.html(), output);
    }
  }

  private static void write(Path file, String text, Output output) {
    AtomicFile.write(file, out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
    output.note("wrote " + file);
  }
}
