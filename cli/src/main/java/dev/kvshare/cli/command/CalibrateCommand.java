package dev.kvshare.cli.command;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.cli.options.CalibrateOptions;
import dev.kvshare.cli.options.RepairPart;
import dev.kvshare.cli.print.CalibrationProgress;
import dev.kvshare.cli.print.CalibrationSummary;
import dev.kvshare.cli.print.Invocation;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare calibrate}: finds a sharing map and writes it as a policy. */
@Command(
    name = "calibrate",
    sortOptions = false,
    customSynopsis = "kvshare calibrate [OPTIONS]",
    header = "Find layers that can share keys and values, and write a policy.",
    description = {
      "",
      "Runs the model on sample text, tries which layers can read another layer's keys and values,"
          + " or need no more than the first and last tokens of their own, compares several"
          + " strategies by what the model still computes, and repairs the best plan."
          + " The result is a policy file for 'kvshare apply' and 'kvshare eval', and a report to"
          + " open in a browser. '--strategy kvsharer' is the papers' method alone.",
      "",
      "With --scheme or --layer-types nothing is searched: the policy is a sharing scheme of the"
          + " papers, whose similarity is measured.",
      "",
      "All options have defaults: 'kvshare calibrate' calibrates the built-in model on a"
          + " built-in text, in less than a minute."
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare calibrate",
      "  kvshare calibrate --model models/SmolLM2 --share-layers 8 --out smol8.json",
      "  kvshare calibrate --model models/SmolLM2 --window-layers 15 --out windows15.json",
      "  kvshare calibrate --model model.gguf --kv-budget 0.7 --text notes.txt",
      "  kvshare calibrate --scheme sandwich-middle --kv-layers 6 --out sandwich.json",
      "",
      "Exit codes: 0 the policy has the wanted size; 3 the size was not reached above the",
      "threshold, and the best policy found was written; 1 failed; 2 bad usage; 130 interrupted."
    })
final class CalibrateCommand extends BaseCommand {

  /** Options of files with their values, and switches, that change nothing in the policy. */
  private static final Set<String> PLACES = Set.of("-o", "--out", "--report");

  private static final Set<String> SWITCHES =
      Set.of("-f", "--force", "--no-report", "--resume", "-q", "--quiet", "-v", "--verbose");

  @Mixin private CalibrateOptions options;
  private Corpus text;
  private Corpus repairText;

  @Override
  public Integer call() {
    checkCombinations();
    try {
      return options.search.dryRun ? forecast() : calibrate();
    } catch (CalibrationException.Usage e) {
      throw usageError(e.getMessage());
    }
  }

  private int forecast() {
    readTexts();
    Calibration calibration = Calibration.of(locate(options.model.model));
    with(calibration.options(options.decoderOptions()))
        .forecast()
        .lines()
        .forEach(output().results()::println);
    return ExitCodes.DONE;
  }

  private int calibrate() {
    Output output = output();
    boolean scheme = options.scheme.isGiven();
    options.files.noReport |= scheme;
    CalibrationFiles files = CalibrationFiles.plan(options.files, options.search);
    readTexts();
    if (!scheme) {
      interruption().advise(adviceToResume());
    }
    CalibrationResult result;
    try (ProgressLine progress = new ProgressLine(output);
        LoadedModel model =
            ProgressLine.load(locate(options.model.model), options.decoderOptions(), output)) {
      result =
          with(Calibration.of(model))
              .journal(scheme ? null : files.journal())
              .resume(options.search.resume)
              .listener(new CalibrationProgress(output, progress))
              .command(command())
              .run();
    }
    result.write(files.policy(), files.report(), files.statistics());
    new CalibrationSummary(options.model, files).print(result, output);
    return result.reached() ? ExitCodes.DONE : ExitCodes.NOT_MET;
  }

  /** The calibration that the options describe. */
  private Calibration with(Calibration calibration) {
    calibration
        .text(text)
        .repairText(repairText)
        .samples(options.samples.samples)
        .tokensPerSample(options.samples.tokens)
        .method(options.method())
        .keep(options.goal.keep())
        .window(options.goal.first(), options.goal.last())
        .threshold(options.goal.threshold)
        .maxDivergence(options.goal.maxDivergence)
        .maxPerplexityRise(options.goal.maxPerplexityRise)
        .acrossKinds(options.goal.acrossKinds)
        .preferTop(options.search.preferTop)
        .seed(options.search.seed)
        .batchMemory(options.search.batchMemoryBytes);
    if (options.search.stats != null) {
      calibration.statistics(options.search.stats);
    }
    if (options.scheme.isGiven()) {
      calibration.plan(options.scheme.name(), this::plan);
    }
    if (options.repair.noRepair) {
      calibration.repair(null);
    } else if (options.repair.isGiven()) {
      calibration.repair(RepairPart.settings(options.repair.parts()));
    }
    if (options.repair.tokens != null) {
      calibration.repairTokens(options.repair.tokens);
    }
    return calibration;
  }

  private void checkCombinations() {
    String problem = options.samples.problem(false);
    if (problem != null) {
      throw usageError(problem);
    }
    String schemeProblem = options.scheme.problem();
    if (schemeProblem != null) {
      throw usageError(schemeProblem);
    }
    String repairProblem = options.repair.problem();
    if (repairProblem != null) {
      throw usageError(repairProblem);
    }
    String goalProblem = options.goal.problem(options.search.strategy);
    if (goalProblem != null) {
      throw usageError(goalProblem);
    }
    if (options.goal.windowLayers != null && options.search.stats != null) {
      throw usageError(
          "--stats holds samples that are too short to see what windows lose: give --text or"
              + " --dataset instead");
    }
    boolean goal =
        options.goal.shareLayers != null
            || options.goal.windowLayers != null
            || options.goal.kvBudget != null;
    boolean statistics = options.search.stats != null || options.search.saveStats != null;
    if (options.scheme.isGiven()
        && (goal || statistics || options.search.resume || options.files.report != null)) {
      throw usageError(
          "a scheme says what is shared, and nothing is searched: leave out --share-layers,"
              + " --window-layers, --kv-budget, --stats, --save-stats, --resume and --report");
    }
    if (options.goal.shareLayers != null && options.goal.kvBudget != null) {
      throw usageError("--share-layers and --kv-budget both say how much to share: give one");
    }
    if (options.files.report != null && options.files.noReport) {
      throw usageError("--report and --no-report contradict each other");
    }
    boolean text = !options.samples.texts.isEmpty() || options.samples.dataset != null;
    if (options.search.stats != null && (text || options.search.saveStats != null)) {
      throw usageError(
          "--stats takes the place of the text: leave out --text, --dataset and --save-stats");
    }
  }

  private Plan plan(int layers) {
    try {
      return options.scheme.plan(layers);
    } catch (IllegalArgumentException e) {
      throw usageError(e.getMessage());
    }
  }

  /** The texts are read before the model, because they fail sooner; --stats has its own. */
  private void readTexts() {
    if (options.search.stats == null) {
      text = options.samples.load(datasets(), options.model.calibrationDataset());
    }
    if (options.repair.text != null) {
      repairText = datasets().resolve(options.repair.text, null, System.in).load();
    }
  }

  /**
   * The command without what changes nothing in the policy: where files go, and how much is said.
   */
  private String command() {
    List<String> words = new ArrayList<>();
    boolean skips = false;
    for (String word : arguments()) {
      String name = word.replaceFirst("=.*", "");
      if (PLACES.contains(name)) {
        skips = !word.contains("=");
      } else if (!skips && !SWITCHES.contains(name)) {
        words.add(word);
      } else {
        skips = false;
      }
    }
    return "kvshare"
        + words.stream().map(word -> " " + Invocation.quote(word)).collect(Collectors.joining());
  }

  private String adviceToResume() {
    List<String> words = new ArrayList<>(arguments());
    if (!options.search.resume) {
      words.add("--resume");
    }
    return "the search goes on where it stopped with:\n  " + Invocation.of(words);
  }
}
