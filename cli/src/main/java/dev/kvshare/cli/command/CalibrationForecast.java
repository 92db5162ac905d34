package dev.kvshare.cli.command;

import com.sun.management.OperatingSystemMXBean;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.model.MemorySize;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.Forecast;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchStrategy;
import dev.kvshare.cli.options.CalibrateOptions;
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
import java.util.OptionalInt;
import java.util.stream.Stream;

/** What {@code calibrate --dry-run} prints: the estimated time and memory of a calibration. */
final class CalibrationForecast {
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
      ModelSpec spec = ModelFamilies.spec(config(model));
      MachineSpeed speed = MachineSpeed.measure(options.model.decoderOptions());
      int repairTokens = Math.min(repairTokens(spec), aboutTokens(repairTextOrNull));
      int passage = passageTokens(spec);
      print(spec, Forecast.estimate(spec, speed, passage), passage, repairTokens);
    }
  }

  /** With the time of a real layer: only one is in memory. */
  private void measured(Path path) {
    try (LoadedModel model =
        ProgressLine.load(
            path,
            options.model.decoderOptions().withResidency(WeightResidency.ONE_LAYER),
            output)) {
      ModelSpec spec = model.decoder().spec();
      int passage = passageTokens(spec);
      int repairTokens = 0;
      if (repairTextOrNull != null) {
        List<int[]> passages =
            new RepairText(model)
                .windows(repairTextOrNull, repairTokens(spec), mayBeWindowed(spec));
        repairTokens = passages.stream().mapToInt(tokens -> tokens.length).sum();
        passage = passages.isEmpty() ? passage : passages.get(0).length;
      }
      print(spec, Forecast.measure(model.decoder(), passage), passage, repairTokens);
    }
  }

  private int passageTokens(ModelSpec spec) {
    return RepairText.passageTokens(spec, mayBeWindowed(spec));
  }

  private int repairTokens(ModelSpec spec) {
    return options.repair.tokens(mayBeWindowed(spec));
  }

  private boolean mayBeWindowed(ModelSpec spec) {
    return goals(spec).windowed().isPresent();
  }

  private SearchGoals goals(ModelSpec spec) {
    if (options.scheme.isGiven()) {
      Plan plan = options.scheme.plan(spec.layers());
      int windowed = plan.windowedLayers().size();
      return new SearchGoals(
          OptionalInt.of(plan.map().sharedLayers()),
          windowed == 0 ? OptionalInt.empty() : OptionalInt.of(windowed),
          null);
    }
    return SearchGoals.of(budget, options.layerWindow(), spec);
  }

  private static int aboutTokens(Corpus corpusOrNull) {
    if (corpusOrNull instanceof Corpus.Text text) {
      return text.text().length() / CHARACTERS_PER_TOKEN;
    }
    return corpusOrNull instanceof Corpus.Tokens tokens
        ? tokens.sequences().stream().mapToInt(sequence -> sequence.length).sum()
        : 0;
  }

  private void print(ModelSpec spec, double layerSeconds, int passageTokens, int repairTokens) {
    SearchGoals goals = goals(spec);
    boolean scheme = options.scheme.isGiven();
    SearchStrategy strategy =
        scheme
            ? null
            : SearchStrategy.of(
                options.search.strategy, options.search.seed, options.search.preferTop);
    Forecast forecast =
        Forecast.of(
            spec,
            layerSeconds,
            new Forecast.Work(
                options.samples.samples,
                options.samples.tokens,
                strategy,
                goals,
                passageTokens,
                repairTokens,
                options.search.batchMemoryBytes,
                options.model.dtype.bytes(),
                options.search.offload));
    PrintWriter out = output.results();
    out.println(
        format(
            "%s, %d layers; one takes %.2f ms for 512 tokens (measured now)",
            spec.modelType(), spec.layers(), 512e3 * layerSeconds));
    out.println(
        format(
            "%s, %d samples of %d tokens, until %s%s:",
            scheme ? options.scheme.name() : strategy.strategy(),
            options.samples.samples,
            options.samples.tokens,
            words(goals),
            repairTokens == 0
                ? ""
                : format("; repair on %,d tokens in passages of %d", repairTokens, passageTokens)));
    out.println(
        format(
            "  about %s (load %s, search %s, repair %s); at least %,d tests, %,d repaired plans",
            duration(forecast.seconds()),
            duration(forecast.loadSeconds()),
            duration(forecast.searchSeconds()),
            duration(forecast.repairSeconds()),
            forecast.tests(),
            forecast.plans()));
    printMemory(forecast);
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

  private void printMemory(Forecast forecast) {
    long machine =
        ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getTotalMemorySize();
    String verdict = "";
    if (forecast.bytes() > machine) {
      verdict =
          options.search.offload
              ? ", which is too little: take fewer --samples or --repair-tokens, or less --batch-memory"
              : ", which is too little: see --offload";
    }
    output
        .results()
        .println(
            "memory: about %s; the weights in memory are %s, this machine has %s%s"
                .formatted(
                    MemorySize.text(forecast.bytes()),
                    MemorySize.text(forecast.weightBytes()),
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
