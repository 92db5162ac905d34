package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.repair.fit.ProjectionFit.FittedPart;
import dev.kvshare.calibrate.repair.fit.QueryFit;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Repairs of tiny models of every family. */
@Tag("numerics")
class RepairTest {
  private static final int PASSAGES = 60;
  private static final int TOKENS = 16;

  static List<Path> architectures() {
    return TinyModels.architectures();
  }

  /** What the pass saw is what the decoder computes with the tensors; and it helps. */
  @ParameterizedTest
  @MethodSource("architectures")
  void everyFamilyIsRepaired(Path directory) {
    try (Decoder decoder = TinyModels.load(directory)) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      SharingMap map = TinyModels.map(decoder);
      RepairOutcome outcome = repair(decoder, map, passages);
      try (WeightOverrides overrides = decoder.newOverrides(outcome.weights())) {
        double plain = outcome.plain().divergence().mean();
        double repaired = outcome.repaired().divergence().mean();

        assertTrue(outcome.improves(), repaired + " of " + plain);
        assertTrue(repaired < 0.95 * plain, repaired + " of " + plain);
        assertTrue(outcome.repaired().similarity() > outcome.plain().similarity());
        Divergence run = run(decoder, new CacheOptions(map, overrides), passages.validation());
        assertEquals(run.mean(), repaired, 0.02 * repaired);
        Divergence plainRun = run(decoder, CacheOptions.of(map), passages.validation());
        assertEquals(plainRun.mean(), plain, 0.02 * plain);
      }
    }
  }

  @Test
  void aMapThatSharesNothingIsLeftAlone() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages passages = TinyModels.passages(decoder, 10, TOKENS);
      RepairOutcome outcome = repair(decoder, SharingMap.identity(4), passages);
      assertTrue(outcome.weights().names().isEmpty());
      assertTrue(outcome.fits().isEmpty());
      assertEquals(0, outcome.repaired().divergence().mean(), 1e-6);
    }
  }

  @Test
  void onlyLayersFromTheFirstSharedOnAreFitted() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      SharingMap map = SharingMap.of(0, 1, 1, 3);
      RepairSettings usual = RepairSettings.DEFAULT;
      RepairSettings ofShared =
          new RepairSettings(
              usual.parts(),
              RepairSettings.Scope.SHARED,
              usual.ownToken(),
              usual.queries(),
              usual.strengths());
      RepairOutcome all = repair(decoder, map, passages);
      RepairOutcome some = new Repair(decoder, ofShared).repair(Plan.of(map), passages, done -> {});
      assertEquals(Set.of(2, 3), layers(all));
      assertEquals(Set.of(2), layers(some));
    }
  }

  @Test
  void equalInputGivesEqualTensors() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("gemma2"))) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      SharingMap map = TinyModels.map(decoder);
      RepairOutcome first = repair(decoder, map, passages);
      RepairOutcome second = repair(decoder, map, passages);
      assertEquals(first.weights().names(), second.weights().names());
      assertEquals(first.weights().sha256(), second.weights().sha256());
    }
  }

  /** The weights of a file are rounded: a plan is measured with them, and gives that when run. */
  @Test
  void whatIsMeasuredIsWhatAFileHolds() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      SharingMap map = TinyModels.map(decoder);
      RepairOutcome outcome = repair(decoder, map, passages);
      try (WeightOverrides overrides = decoder.newOverrides(outcome.weights())) {
        double mean = outcome.repaired().divergence().mean();
        CacheOptions options = new CacheOptions(map, overrides);
        assertEquals(mean, run(decoder, options, passages.validation()).mean(), 1e-5 * mean);
      }
    }
  }

  /** A quarter of them judges, which must be one at least. */
  @Test
  void queriesAreFittedToThreeTokens() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      RepairSettings usual = RepairSettings.DEFAULT;
      RepairSettings few =
          new RepairSettings(
              usual.parts(),
              usual.scope(),
              usual.ownToken(),
              new QueryFit.Settings(1, 2, 1e-2, 3),
              usual.strengths());
      RepairOutcome outcome =
          new Repair(decoder, few).repair(Plan.of(TinyModels.map(decoder)), passages, done -> {});
      assertTrue(outcome.improves());
    }
  }

  /** With no room to keep them, inputs are computed again. */
  @Test
  void aBoundOnMemoryChangesNothing() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("gpt_neox"))) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      SharingMap map = TinyModels.map(decoder);
      RepairOutcome expected = repair(decoder, map, passages);
      RepairOutcome outcome =
          new Repair(decoder, RepairSettings.DEFAULT, 64, 0)
              .repair(Plan.of(map), passages, done -> {});
      double mean = expected.repaired().divergence().mean();
      assertEquals(mean, outcome.repaired().divergence().mean(), 0.01 * mean);
    }
  }

  @Test
  void halfPrecisionIsRepaired() {
    try (Decoder decoder =
        TinyModels.load(TinyModels.architecture("llama"), ComputeType.BFLOAT16)) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      RepairOutcome outcome = repair(decoder, TinyModels.map(decoder), passages);
      assertTrue(outcome.improves());
    }
  }

  @Test
  void trialsFindWhatARepairFinds() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("qwen3"))) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      Repair repair = new Repair(decoder, RepairSettings.DEFAULT);
      SharingMap map = SharingMap.of(0, 1, 1, 1);
      RepairOutcome outcome = repair.repair(Plan.of(map), passages, done -> {});
      try (RepairTrials trials = new RepairTrials(decoder, RepairSettings.DEFAULT, passages)) {
        double expected = outcome.repaired().divergence().mean();
        assertEquals(expected, divergence(trials, map), 1e-4 * expected);
        assertEquals(
            outcome.plain().divergence().mean(),
            trials.unrepaired(Plan.of(map), done -> {}).divergence().mean(),
            1e-6);
        assertEquals(
            outcome.repaired().similarity(),
            trials.trial(Plan.of(map), done -> {}).quality().similarity(),
            1e-5);
      }
    }
  }

  /** Sinks and passages, of a layer with all of its keys and of one that shares. */
  @ParameterizedTest
  @CsvSource({"llama, 0", "llama, 2", "qwen3, 1", "gemma2, 1"})
  void aPlanWithWindowsIsRepaired(String architecture, int sinks) {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture(architecture))) {
      RepairPassages passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
      Plan plan =
          Plan.of(TinyModels.map(decoder)).withWindowed(1, 3, sinks).withWindowed(2, 3, sinks);
      Repair repair = new Repair(decoder, RepairSettings.DEFAULT);
      RepairOutcome outcome = repair.repair(plan, passages, done -> {});
      try (RepairTrials trials = new RepairTrials(decoder, RepairSettings.DEFAULT, passages)) {
        assertTrue(outcome.improves(), outcome.plain() + " " + outcome.repaired());
        double expected = outcome.repaired().divergence().mean();
        assertEquals(
            expected,
            trials.trial(plan, done -> {}).quality().divergence().mean(),
            1e-4 * expected);
        try (WeightOverrides overrides = decoder.newOverrides(outcome.weights())) {
          Divergence run = run(decoder, new CacheOptions(plan, overrides), passages.validation());
          assertEquals(expected, run.mean(), 1e-3 * expected);
        }
      }
    }
  }

  private static double divergence(RepairTrials trials, SharingMap map) {
    return trials.trial(Plan.of(map), done -> {}).quality().divergence().mean();
  }

  private static RepairOutcome repair(Decoder decoder, SharingMap map, RepairPassages passages) {
    return new Repair(decoder, RepairSettings.DEFAULT).repair(Plan.of(map), passages, done -> {});
  }

  private static Set<Integer> layers(RepairOutcome outcome) {
    return Set.copyOf(outcome.fits().stream().map(FittedPart::layer).distinct().toList());
  }

  private static Divergence run(Decoder decoder, CacheOptions options, List<int[]> passages) {
    SharingMap unshared = SharingMap.identity(options.map().layers());
    Divergence sum = Divergence.NONE;
    for (int[] passage : passages) {
      try (NDManager manager = decoder.newManager();
          KvCache reference = decoder.newCache(unshared, 1, passage.length);
          KvCache cache = decoder.newCache(options, 1, passage.length)) {
        long[] ids = Arrays.stream(passage).asLongStream().toArray();
        NDArray input = manager.create(ids, new Shape(1, passage.length));
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
