package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.HealingReport;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A short training behind the repair of tiny models. */
class HealingTest {
  private static final int WINDOWS = 40;
  private static final int TOKENS = 16;
  private static final HealingSettings SETTINGS =
      new HealingSettings(HealingSettings.DEFAULT.roles(), 8, 8, 4, 3e-4, 2, 4, 4096);

  /**
   * Random text has nothing in common with other such: the windows of the training judge, behind a
   * repair that leaves an error on them.
   */
  @ParameterizedTest
  @ValueSource(strings = {"llama", "gemma2", "olmo2", "gpt_neox", "gpt2", "qwen3_moe"})
  void theDivergenceFallsOnTheWindowsOfTheTraining(String family) {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture(family))) {
      RepairPassages windows =
          new RepairPassages(TinyModels.windows(decoder, 10, TOKENS).fit(), List.of());
      RepairSettings weak =
          RepairSettings.DEFAULT
              .withParts(Set.of(Part.ATTENTION))
              .withScope(RepairSettings.Scope.SHARED)
              .withOwnToken(false)
              .withStrength(1);
      List<Double> progress = new ArrayList<>();
      try (RepairOutcome repaired =
              new Repair(decoder, weak)
                  .repair(Plan.of(TinyModels.map(decoder)), windows, done -> {});
          RepairOutcome healed =
              new Healing(decoder, SETTINGS)
                  .heal(repaired, windows, (step, divergence) -> progress.add(divergence))) {
        double before = repaired.repaired().divergence().mean();
        double after = healed.repaired().divergence().mean();
        assertTrue(after < before, after + " of " + before);
        assertEquals(SETTINGS.steps(), progress.size());
        assertTrue(progress.get(SETTINGS.steps() - 1) < progress.get(0), progress.toString());
        assertEquals(repaired.plain(), healed.plain());
        assertEquals(new HealingReport(SETTINGS.steps(), true, before, after), healed.healing());
        assertNull(repaired.healing());
        assertTrue(healed.tensors().keySet().containsAll(repaired.tensors().keySet()));
      }
    }
  }

  /** A rate at which training destroys the model: the repair is kept. */
  @Test
  void whatDoesNotHelpIsLeftOut() {
    HealingSettings wild =
        new HealingSettings(SETTINGS.roles(), 3, 8, 4, 10, 1, 1, SETTINGS.judgedTokens());
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      try (RepairOutcome repaired = repair(decoder, windows);
          RepairOutcome healed =
              new Healing(decoder, wild).heal(repaired, windows, (step, divergence) -> {})) {
        assertEquals(repaired.repaired(), healed.repaired());
        double kept = repaired.repaired().divergence().mean();
        assertEquals(new HealingReport(3, false, kept, kept), healed.healing());
        assertSame(repaired.tensors(), healed.tensors());
      }
    }
  }

  @Test
  void equalInputGivesEqualTensors() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      Healing healing = new Healing(decoder, SETTINGS);
      try (RepairOutcome repaired = repair(decoder, windows);
          RepairOutcome first = healing.heal(repaired, windows, (step, divergence) -> {});
          RepairOutcome second = healing.heal(repaired, windows, (step, divergence) -> {})) {
        assertSame(first.tensors(), second.tensors());
      }
    }
  }

  @Test
  void manyStepsKeepNoMemory() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, 64);
      int steps = 90;
      long[] resident = new long[steps + 1];
      try (RepairOutcome repaired = repair(decoder, windows)) {
        new Healing(decoder, SETTINGS.withSteps(steps))
            .heal(repaired, windows, (step, divergence) -> resident[step] = ResidentMemory.bytes())
            .close();
      }
      long logitsOfAStep = 8L * 64 * decoder.spec().vocabularySize() * Float.BYTES;
      long grown = resident[steps] - resident[steps / 3];
      assertTrue(grown < Math.max(24L << 20, logitsOfAStep * steps / 6), "memory grew by " + grown);
    }
  }

  @Test
  void settingsThatCannotBeAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> SETTINGS.withSteps(0));
  }

  private static RepairOutcome repair(Decoder decoder, RepairPassages windows) {
    SharingMap map = TinyModels.map(decoder);
    return new Repair(decoder, RepairSettings.DEFAULT).repair(Plan.of(map), windows, done -> {});
  }

  private static void assertSame(Map<String, NDArray> expected, Map<String, NDArray> actual) {
    assertEquals(expected.keySet(), actual.keySet());
    expected.forEach(
        (name, tensor) ->
            assertArrayEquals(tensor.toFloatArray(), actual.get(name).toFloatArray(), name));
  }
}
