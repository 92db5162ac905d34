package dev.kvshare.cli.command;

import com.sun.management.OperatingSystemMXBean;
import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.decoder.weights.WeightResidency;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.forecast.CostModel;
import dev.kvshare.calibrate.forecast.LayerStopwatch;
import dev.kvshare.calibrate.forecast.LayerTimes;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchStrategy;
import dev.kvshare.cli.options.CalibrateOptions;
import dev.kvshare.cli.options.MemorySize;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/** What {@code calibrate --dry-run} prints: the predicted time and memory of a calibration. */
final class CalibrationForecast {
  /** Tests for each layer that comes to share: every pair passes, or one in so many. */
  private static final List<Integer> TESTS_PER_LAYER = List.of(1, 4, 16);

  private static final int CHARACTERS_PER_TOKEN = 4;

  private final CalibrateOptions options;
  private final KvBudget budget;
  private final Corpus repairTextOrNull;
  private final Output output;

  /**
   * @param repairTextOrNull null where nothing is repaired
   */
  CalibrationForecast(
      CalibrateOptions options, KvBudget budget, Corpus repairTextOrNull, Output output) {
    this.options = options;
    this.budget = budget;
    this.repairTextOrNull = repairTextOrNull;
    this.output = output;
  }

  void print(Path model) {
    if (hasWeights(model)) {
      measured(model);
    } else {
      estimated(ModelFamilies.spec(config(model)));
    }
  }

  /** With the times of a real layer: only one is in memory at a time. */
  private void measured(Path path) {
    try (LoadedModel model =
        ProgressLine.load(
            path,
            options.model.decoderOptions().withResidency(WeightResidency.ONE_LAYER),
            output)) {
      ModelSpec spec = model.decoder().spec();
      int tokens = Math.min(options.samples.tokens, spec.maxPositions());
      LayerTimes times = new LayerStopwatch(model.decoder()).measure(tokens);
      output
          .results()
          .println(
              format(
                  "%s, %d layers; one takes %.2f ms for 512 tokens and %.1f ms to be read (measured now)",
                  spec.modelType(), spec.layers(), 512e3 * times.runToken(), 1e3 * times.read()));
      int repairTokens = 0;
      if (repairTextOrNull != null) {
        repairTokens =
            new RepairText(model)
                .windows(repairTextOrNull, repairTokens(), options.layerWindow() != null).stream()
                    .mapToInt(window -> window.length)
                    .sum();
      }
      print(spec, times, repairTokens);
    }
  }

  private int repairTokens() {
    return options.repair.tokens(options.layerWindow() != null);
  }

  private void estimated(ModelSpec spec) {
    MachineSpeed speed = MachineSpeed.measure(options.model.decoderOptions());
    output
        .results()
        .println(
            format(
                "%s, %d layers; this machine: %.0f GFLOP/s (measured now; no weights to measure)",
                spec.modelType(), spec.layers(), speed.operationsPerSecond() / 1e9));
    LayerTimes times =
        LayerTimes.estimated(spec, speed, options.samples.tokens, options.model.dtype.bytes());
    print(spec, times, Math.min(repairTokens(), aboutTokens(repairTextOrNull)));
  }

  private static int aboutTokens(Corpus corpusOrNull) {
    if (corpusOrNull instanceof Corpus.Text text) {
      return text.text().length() / CHARACTERS_PER_TOKEN;
    }
    return corpusOrNull instanceof Corpus.Tokens tokens
        ? tokens.sequences().stream().mapToInt(sequence -> sequence.length).sum()
        : 0;
  }

  private void print(ModelSpec spec, LayerTimes times, int repairTokens) {
    SearchGoals goals = SearchGoals.of(budget, options.layerWindow(), spec);
    SearchStrategy strategy =
        SearchStrategy.of(options.search.strategy, options.search.seed, options.search.preferTop);
    CostModel costs =
        new CostModel(
            spec,
            times,
            new CostModel.Plan(
                options.samples.samples,
                options.samples.tokens,
                strategy,
                options.goal.acrossKinds,
                goals,
                repairTokens,
                options.search.batchMemoryBytes,
                options.model.dtype.bytes(),
                options.search.offload));
    PrintWriter out = output.results();
    out.println(
        format(
            "%s, %d samples of %d tokens, until %s%s:",
            strategy.strategy(),
            options.samples.samples,
            options.samples.tokens,
            words(goals),
            repairTokens == 0 ? "" : format("; repair on %,d tokens", repairTokens)));
    for (int perLayer : TESTS_PER_LAYER) {
      CostModel.Cost cost = costs.cost(perLayer);
      String condition =
          perLayer == 1 ? "if every pair passes" : "if one pair in " + perLayer + " does";
      out.println(line(cost.tests() == 0 ? "" : condition, cost));
      if (cost.tests() == 0) {
        break;
      }
    }
    printMemory(costs);
  }

  private static String words(SearchGoals goals) {
    String sharing =
        goals.sharing().isPresent() ? goals.sharing().getAsInt() + " layers share" : "";
    if (goals.windowed().isEmpty()) {
      return sharing;
    }
    return sharing.isEmpty()
        ? goals.windowed().getAsInt() + " layers are windowed"
        : sharing + " or " + goals.windowed().getAsInt() + " are windowed";
  }

  private static String line(String condition, CostModel.Cost cost) {
    return format(
        "  %-23s %,5d tests  %,4d repaired maps  %s (load %s, search %s, repair %s)",
        condition,
        cost.tests(),
        cost.maps(),
        duration(cost.seconds()),
        duration(cost.load()),
        duration(cost.search()),
        duration(cost.repair()));
  }

  private void printMemory(CostModel costs) {
    long machine =
        ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getTotalMemorySize();
    String verdict = "";
    if (costs.bytes() > machine) {
      verdict =
          options.search.offload
              ? ", which is too little: take fewer --samples or --repair-tokens, or less --batch-memory"
              : ", which is too little: see --offload";
    }
    output
        .results()
        .println(
            "memory: up to %s; the weights in memory are %s, this machine has %s%s"
                .formatted(
                    MemorySize.text(costs.bytes()),
                    MemorySize.text(costs.weightBytes()),
                    MemorySize.text(machine),
                    verdict));
  }

  private static boolean hasWeights(Path model) {
    if (!Files.isDirectory(model)) {
      return true;
    }
    try (Stream<Path> files = Files.list(model)) {
      return files.anyMatch(file -> file.toString().endsWith(".safetensors"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static ModelConfig config(Path model) {
    Path config = model.resolve("config.json");
    return new ModelConfig(config, JsonFiles.readObject(config));
  }

  private static String duration(double seconds) {
    if (seconds < 120) {
      return format("%.1f s", seconds);
    }
    return seconds < 7200 ? format("%.0f min", seconds / 60) : format("%.1f h", seconds / 3600);
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }
}
