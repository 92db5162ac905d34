package dev.kvshare.cli.command;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.cli.options.EvalOptions;
import dev.kvshare.cli.print.ComparisonTable;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.CacheComparison;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.EvaluationListener;
import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.EvaluationRequest;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.experiment.Sweep;
import dev.kvshare.eval.format.ReportFormat;
import dev.kvshare.eval.quality.EvaluationText;
import dev.kvshare.eval.quality.StreamReport;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare eval}: compares the unshared model and policies side by side. */
@Command(
    name = "eval",
    sortOptions = false,
    customSynopsis = "kvshare eval [OPTIONS] [--policy FILE]...",
    header = "Compare policies: quality, speed and memory.",
    description = {
      "",
      "Measures the perplexity of the unshared model and of each policy on the same passages of a"
          + " text, with its standard error, and what the KV cache costs; then the speed of prompts"
          + " and of decoding. One row each; 'ratio' is the perplexity against the unshared model.",
      "",
      "With --cache each of them is measured with the whole cache and with each cache policy: the"
          + " first half of a passage is read as a prompt, the other half token by token, and only the"
          + " latter is scored, in all rows. 'sharing' x 'method' = 'KV cache' are the bytes that"
          + " are left of the unshared model's whole cache at the end of a passage."
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare eval --policy policy.json",
      "  kvshare eval --model model.gguf --policy four.json --policy eight.json --text book.txt",
      "  kvshare eval --policy policy.json --cache h2o,pyramid --cache-budget 50%%",
      "  kvshare eval --sweep --passages 4 --format markdown",
      "  kvshare eval --compare 0.25,0.5 --text book.txt --text manual.txt --format markdown",
      "",
      "Exit codes: 0 done; 1 failed; 2 bad usage; 130 interrupted."
    })
final class EvalCommand extends BaseCommand {

  @Mixin private EvalOptions options;

  @Override
  public Integer call() {
    EvalOptions.OutputOptions files = options.files;
    checkCombinations();
    if (!options.model.force) {
      OutputFiles.requireNew(files.output, "--output");
      OutputFiles.requireNew(files.jsonFile(), "--json");
    }
    OutputFiles.checkWritable(files.output, files.jsonFile());
    Output output = output();
    if (!options.comparison.sizes.isEmpty()) {
      compare(output);
      return ExitCodes.DONE;
    }
    Corpus corpus = options.windows.load(datasets(), Datasets.DEFAULT_EVALUATION);
    if (options.cache.stream != null) {
      stream(corpus, output);
      return ExitCodes.DONE;
    }
    EvaluationReport report =
        options.model.reductions.isEmpty()
            ? measure(corpus, options.windows.cut(), output, Evaluator::evaluate)
            : sweep(corpus, output);
    warn(report.windows(), report.warnings(), output);
    print(report, output);
    if (options.model.policies.isEmpty() && options.model.reductions.isEmpty()) {
      output.note("");
      output.note(
          "next: compare policies with the unshared model by --policy FILE, which may be given"
              + " several times");
    }
    return ExitCodes.DONE;
  }

  private void compare(Output output) {
    Corpus calibration = repairCorpus();
    List<Corpus> texts = options.windows.loadAll(datasets(), Datasets.DEFAULT_EVALUATION);
    createFolder(options.comparison.folder);
    List<ComparedMap> maps;
    try (ProgressLine progress = new ProgressLine(output);
        LoadedModel model =
            ProgressLine.load(
                locate(options.model.model), options.model.decoderOptions(), output)) {
      maps = new Comparison(options, datasets(), output, progress, model, calibration, texts).run();
    }
    print(new ComparisonTable(maps)::write, output);
  }

  private EvaluationReport sweep(Corpus corpus, Output output) {
    try (ProgressLine progress = new ProgressLine(output);
        LoadedModel model =
            ProgressLine.load(
                locate(options.model.model), options.model.decoderOptions(), output)) {
      return new SweepRun(options, datasets(), model, corpus, repairCorpus(), progress)
          .run(policies(model), caches());
    }
  }

  private static void createFolder(Path folder) {
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void stream(Corpus corpus, Output output) {
    EvaluationPassages stretches = EvalOptions.WindowOptions.stretches(options.cache.stream);
    StreamReport report = measure(corpus, stretches, output, Evaluator::stream);
    print(format -> format.write(report), output);
  }

  /** What is measured of the policies. */
  private interface Measurement<T> {
    T of(Evaluator evaluator, EvaluationRequest request, EvaluationListener listener);
  }

  private <T> T measure(
      Corpus corpus, EvaluationPassages windows, Output output, Measurement<T> measurement) {
    try (ProgressLine progress = new ProgressLine(output);
        LoadedModel model =
            ProgressLine.load(
                locate(options.model.model), options.model.decoderOptions(), output)) {
      List<EvaluatedPolicy> policies = policies(model);
      policies.addAll(SweepRun.schemes(options, model.identity()));
      return measurement.of(
          new Evaluator(model.decoder(), options.model.dtype.bytes()),
          new EvaluationRequest(
              new EvaluationText(corpus, model::encode, windows),
              policies,
              caches(),
              options.speed.settings(),
              datasets()),
          (phase, done, total) -> progress.show(phase, done, total, ""));
    }
  }

  private void checkCombinations() {
    String problem = options.windows.problem(!options.comparison.sizes.isEmpty());
    if (problem != null) {
      throw usageError(problem);
    }
    if (options.windows.window < 2) {
      throw usageError(
          "--passage-tokens must be at least 2: the first token of a passage is not predicted");
    }
    boolean caches = caches() != null;
    if (options.model.sweepFolder != null
        && (options.model.reductions.isEmpty() || !options.model.policies.isEmpty() || caches)) {
      throw usageError(
          "--sweep-folder keeps the schemes of --sweep alone: give --sweep, and leave out --policy"
              + " and --cache");
    }
    if (options.files.jsonAlone() && options.files.format != ReportFormat.TEXT) {
      throw usageError("--json and --format both choose the format: give one of them");
    }
  }

  /** Read before the text is encoded: a policy of another model is refused first. */
  private List<EvaluatedPolicy> policies(LoadedModel model) {
    ModelIdentity identity = model.identity();
    List<EvaluatedPolicy> policies = new ArrayList<>();
    for (Path file : options.model.policies) {
      policies.add(evaluated(file, identity, model));
    }
    return policies;
  }

  /** What the searches and repairs of a sweep or comparison read. */
  private Corpus repairCorpus() {
    return options.model.repairText == null
        ? datasets().find(options.model.calibrationDataset()).load()
        : datasets().resolve(options.model.repairText, null, System.in).load();
  }

  private CacheComparison caches() {
    try {
      List<CachePolicy> policies = options.cache.policies();
      int prompt = options.cache.prompt();
      return policies.isEmpty() ? null : new CacheComparison(policies, prompt);
    } catch (IllegalArgumentException e) {
      throw usageError(e.getMessage());
    }
  }

  private EvaluatedPolicy evaluated(Path file, ModelIdentity identity, LoadedModel model) {
    EvaluatedPolicy policy =
        EvaluatedPolicy.read(file, identity, model.decoder().spec(), options.model.force);
    return options.model.noRepair ? policy : policy.repaired(file, model.decoder());
  }

  /** A text shorter than the default number of windows is worth a note, not a warning. */
  private void warn(Passages windows, List<String> warnings, Output output) {
    List<String> notes = options.windows.windows == null ? windows.notes() : List.of();
    for (String warning : warnings) {
      if (notes.contains(warning)) {
        output.note(warning);
      } else {
        output.warn(warning);
      }
    }
  }

  private void print(EvaluationReport report, Output output) {
    print(format -> text(format, report, output), output);
  }

  private String text(ReportFormat format, EvaluationReport report, Output output) {
    String text = format.write(report);
    if (!options.model.reductions.isEmpty()) {
      boolean beside = format == ReportFormat.TEXT || format == ReportFormat.MARKDOWN;
      if (beside) {
        text += "\n" + Sweep.NOTE + "\n";
      } else {
        output.note(Sweep.NOTE);
      }
    }
    return text;
  }

  private void print(Function<ReportFormat, String> report, Output output) {
    EvalOptions.OutputOptions files = options.files;
    String text = report.apply(files.jsonAlone() ? ReportFormat.JSON : files.format);
    if (files.output == null) {
      output.results().print(text);
      output.results().flush();
    } else {
      write(files.output, text, output);
    }
    if (files.jsonFile() != null) {
      write(files.jsonFile(), report.apply(ReportFormat.JSON), output);
    }
  }

  private static void write(Path file, String text, Output output) {
    AtomicFile.write(file, out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
    output.note("wrote " + file);
  }
}
