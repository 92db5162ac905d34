package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.ComputeType;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Repairs of tiny models of every family. */
@Tag("numerics")
class RepairTest {
  private static final int WINDOWS = 60;
  private static final int TOKENS = 16;

  static List<Path> architectures() {
    return TinyModels.architectures();
  }

  /** What the pass saw is what the decoder computes with the tensors; and it helps. */
  @ParameterizedTest
  @MethodSource("architectures")
  void everyFamilyIsRepaired(Path directory) {
    try (Decoder decoder = TinyModels.load(directory)) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      SharingMap map = TinyModels.map(decoder);
      try (RepairOutcome outcome = repair(decoder, map, windows);
          WeightOverrides overrides = decoder.newOverrides(outcome.tensors())) {
        double plain = outcome.plain().divergence().mean();
        double repaired = outcome.repaired().divergence().mean();

        assertTrue(outcome.improves(), repaired + " of " + plain);
        assertTrue(repaired < 0.95 * plain, repaired + " of " + plain);
        assertTrue(outcome.repaired().similarity() > outcome.plain().similarity());
        Divergence run = run(decoder, new CacheOptions(map, overrides), windows.validation());
        assertEquals(run.mean(), repaired, 0.02 * repaired);
        Divergence plainRun = run(decoder, CacheOptions.of(map), windows.validation());
        assertEquals(plainRun.mean(), plain, 0.02 * plain);
      }
    }
  }

  @Test
  void aMapThatSharesNothingIsLeftAlone() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages windows = TinyModels.windows(decoder, 10, TOKENS);
      try (RepairOutcome outcome = repair(decoder, SharingMap.identity(4), windows)) {
        assertTrue(outcome.tensors().isEmpty());
        assertTrue(outcome.fits().isEmpty());
        assertEquals(0, outcome.repaired().divergence().mean(), 1e-6);
      }
    }
  }

  @Test
  void onlyLayersFromTheFirstSharedOnAreFitted() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      SharingMap map = SharingMap.of(0, 1, 1, 3);
      Repair shared =
          new Repair(decoder, RepairSettings.DEFAULT.withScope(RepairSettings.Scope.SHARED));
      try (RepairOutcome all = repair(decoder, map, windows);
          RepairOutcome some = shared.repair(Plan.of(map), windows, done -> {})) {
        assertEquals(Set.of(2, 3), layers(all));
        assertEquals(Set.of(2), layers(some));
      }
    }
  }

  @Test
  void equalInputGivesEqualTensors() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("gemma2"))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      SharingMap map = TinyModels.map(decoder);
      try (RepairOutcome first = repair(decoder, map, windows);
          RepairOutcome second = repair(decoder, map, windows)) {
        assertEquals(first.tensors().keySet(), second.tensors().keySet());
        for (Map.Entry<String, NDArray> tensor : first.tensors().entrySet()) {
          assertArrayEquals(
              tensor.getValue().toFloatArray(),
              second.tensors().get(tensor.getKey()).toFloatArray());
        }
      }
    }
  }

  /** With no room to keep them, inputs are computed again. */
  @Test
  void aBoundOnMemoryChangesNothing() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("gpt_neox"))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      SharingMap map = TinyModels.map(decoder);
      RepairSettings usual = RepairSettings.DEFAULT;
      RepairSettings bounded =
          new RepairSettings(
              usual.parts(),
              usual.scope(),
              usual.ownToken(),
              usual.queries(),
              usual.strengths(),
              64,
              0);
      try (RepairOutcome expected = repair(decoder, map, windows);
          RepairOutcome outcome =
              new Repair(decoder, bounded).repair(Plan.of(map), windows, done -> {})) {
        double mean = expected.repaired().divergence().mean();
        assertEquals(mean, outcome.repaired().divergence().mean(), 0.01 * mean);
      }
    }
  }

  @Test
  void halfPrecisionIsRepaired() {
    try (Decoder decoder =
        TinyModels.load(TinyModels.architecture("llama"), ComputeType.BFLOAT16)) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      try (RepairOutcome outcome = repair(decoder, TinyModels.map(decoder), windows)) {
        assertTrue(outcome.improves());
      }
    }
  }

  @Test
  void aBenchFindsWhatARepairFindsFromWhereverItResumes() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("qwen3"))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      Repair repair = new Repair(decoder, RepairSettings.DEFAULT);
      SharingMap step = SharingMap.of(0, 1, 1, 3);
      SharingMap map = SharingMap.of(0, 1, 1, 1);
      try (RepairOutcome outcome = repair.repair(Plan.of(map), windows, done -> {});
          RepairBench bench = repair.bench(windows)) {
        double expected = outcome.repaired().divergence().mean();
        assertEquals(expected, divergence(bench, map), 1e-4 * expected);
        assertEquals(
            outcome.plain().divergence().mean(),
            bench.plain(Plan.of(map)).divergence().mean(),
            1e-6);
        bench.accept(Plan.of(step), done -> {});
        assertEquals(Plan.of(step), bench.accepted());
        assertEquals(expected, divergence(bench, map), 1e-4 * expected);
        assertEquals(
            outcome.repaired().similarity(),
            bench.quality(Plan.of(map), done -> {}).similarity(),
            1e-5);
        bench.accept(Plan.of(map), done -> {});
        assertEquals(expected, divergence(bench, map), 1e-4 * expected);
      }
    }
  }

  /** Sinks and windows, of a layer with all of its keys and of one that shares. */
  @ParameterizedTest
  @CsvSource({"llama, 0", "llama, 2", "qwen3, 1", "gemma2, 1"})
  void aPlanWithWindowsIsRepaired(String architecture, int sinks) {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture(architecture))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      Plan plan =
          Plan.of(TinyModels.map(decoder)).withWindowed(1, 3, sinks).withWindowed(2, 3, sinks);
      Repair repair = new Repair(decoder, RepairSettings.DEFAULT);
      try (RepairOutcome outcome = repair.repair(plan, windows, done -> {});
          RepairBench bench = repair.bench(windows)) {
        assertTrue(outcome.improves(), outcome.plain() + " " + outcome.repaired());
        double expected = outcome.repaired().divergence().mean();
        assertEquals(
            expected, bench.quality(plan, done -> {}).divergence().mean(), 1e-4 * expected);
        bench.accept(Plan.identity(4).withWindowed(1, 3, sinks), done -> {});
        assertEquals(
            expected, bench.quality(plan, done -> {}).divergence().mean(), 1e-4 * expected);
        try (WeightOverrides overrides = decoder.newOverrides(outcome.tensors())) {
          Divergence run = run(decoder, new CacheOptions(plan, overrides), windows.validation());
          assertEquals(expected, run.mean(), 1e-3 * expected);
        }
      }
    }
  }

  private static double divergence(RepairBench bench, SharingMap map) {
    return bench.quality(Plan.of(map), done -> {}).divergence().mean();
  }

  private static RepairOutcome repair(Decoder decoder, SharingMap map, RepairPassages windows) {
    return new Repair(decoder, RepairSettings.DEFAULT).repair(Plan.of(map), windows, done -> {});
  }

  private static Set<Integer> layers(RepairOutcome outcome) {
    return Set.copyOf(outcome.fits().stream().map(FittedPart::layer).distinct().toList());
  }

  private static Divergence run(Decoder decoder, CacheOptions options, List<int[]> windows) {
    SharingMap unshared = SharingMap.identity(options.map().layers());
    Divergence sum = Divergence.NONE;
    for (int[] window : windows) {
      try (NDManager manager = decoder.newManager();
          KvCache reference = decoder.newCache(unshared, 1, window.length);
          KvCache cache = decoder.newCache(options, 1, window.length)) {
        long[] ids = Arrays.stream(window).asLongStream().toArray();
        NDArray input = manager.create(ids, new Shape(1, window.length));
        NDArray following = manager.zeros(input.getShape(), input.getDataType());
        NDArray expected =
            decoder.layers(decoder.embed(input, reference), reference, 0, unshared.layers());
        NDArray actual = decoder.layers(decoder.embed(input, cache), cache, 0, unshared.layers());
        sum = sum.plus(decoder.divergence(expected, actual, following));
      }
    }
    return sum;
  }
}
