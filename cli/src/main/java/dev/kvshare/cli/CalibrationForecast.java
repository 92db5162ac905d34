package dev.kvshare.cli;

import com.sun.management.OperatingSystemMXBean;
import dev.kvshare.calibrate.CostModel;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.model.ModelConfig;
import dev.kvshare.model.family.ModelFamilies;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.model.storage.JsonFiles;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.runtime.MachineSpeed;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** What {@code calibrate --dry-run} prints: the predicted time and memory of a calibration. */
final class CalibrationForecast {
  /** Tests for each layer that comes to share: every pair passes, or one in so many. */
  private static final List<Integer> TESTS_PER_LAYER = List.of(1, 4, 16);

  /** Bytes of an element of the caches that a budget counts. */
  private static final int BUDGET_BYTES_PER_ELEMENT = 2;

  private final CalibrateOptions options;

  CalibrationForecast(CalibrateOptions options) {
    this.options = options;
  }

  void print(Path model, KvBudget budget, Output output) {
    ModelSpec spec = spec(model);
    SharingMap unshared = SharingMap.identity(spec.layers());
    int share =
        budget.layersToShare(
            spec.layers(), spec.kvBytesPerToken(unshared, BUDGET_BYTES_PER_ELEMENT));
    MachineSpeed speed = MachineSpeed.measure(options.model.decoderOptions());
    CostModel costs = new CostModel(spec, options.model.dtype.bytes(), speed);
    int samples = options.samples.samples;
    int tokens = options.samples.tokens;
    PrintWriter out = output.results();
    out.println(
        format(
            "%s, %d layers; this machine: %.0f GFLOP/s, %.1f GB/s (measured now)",
            spec.modelType(),
            spec.layers(),
            speed.operationsPerSecond() / 1e9,
            speed.bytesPerSecond() / 1e9));
    out.println(format("%d samples of %d tokens, until %d layers share:", samples, tokens, share));
    for (int perLayer : TESTS_PER_LAYER) {
      int tests = share * perLayer;
      CostModel.Cost cost = costs.search(samples, tokens, tests);
      out.println(
          format(
              "  %-21s %,6d tests  %,12d layer evaluations  %s",
              perLayer == 1 ? "if every pair passes" : "if one in " + perLayer + " does",
              tests,
              cost.evaluations(),
              duration(cost.seconds())));
    }
    long weights = costs.weightBytes();
    long states = costs.stateBytes(samples, tokens, options.search.batchMemoryBytes);
    long machine =
        ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getTotalMemorySize();
    out.println(
        "memory: %s of weights and %s of states; this machine has %s%s"
            .formatted(
                MemorySize.text(weights),
                MemorySize.text(states),
                MemorySize.text(machine),
                weights + states < machine ? "" : ", which is too little"));
  }

  private static ModelSpec spec(Path model) {
    Path config = model.resolve("config.json");
    if (Files.isDirectory(model) && Files.isRegularFile(config)) {
      return ModelFamilies.spec(new ModelConfig(config, JsonFiles.readObject(config)));
    }
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      return ModelFamilies.spec(checkpoint);
    }
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
