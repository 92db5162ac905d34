package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.policy.SharingMap;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.runtime.Decoder;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Whatever is repeated in a search keeps no native memory. */
class RepeatedRepairTest {
  private static final int TOKENS = 128;
  private static final int WINDOWS = 40;
  private static final int WARM_UP = 30;
  private static final int REPEATED = 20;

  private static Decoder decoder;
  private static RepairWindows windows;

  @BeforeAll
  static void load() {
    decoder = TinyModels.load(TinyModels.architecture("llama"));
    windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  @Test
  void repairsKeepNothing() {
    SharingMap map = TinyModels.map(decoder);
    Repair repair = new Repair(decoder, RepairSettings.DEFAULT);
    assertNothingKept(() -> repair.repair(SharingPlan.of(map), windows, done -> {}).close());
  }

  @Test
  void measuredErrorsKeepNothing() {
    assertNothingKept(
        () ->
            new ReadingErrors(decoder).measure(windows, (layer, source) -> layer == 3, done -> {}));
  }

  /**
   * Less than half of one stream of the residuals is left each time; a repair makes dozens of
   * tensors of that size. Blocks that malloc keeps take tens of repetitions to settle.
   */
  private static void assertNothingKept(Runnable work) {
    repeat(work, WARM_UP);
    long before = ResidentMemory.bytes();
    repeat(work, REPEATED);
    long grown = ResidentMemory.bytes() - before;
    long stream = (long) WINDOWS * TOKENS * decoder.spec().hiddenSize() * Float.BYTES;
    assertTrue(grown < REPEATED * stream / 2, "resident memory grew by " + grown + " bytes");
  }

  private static void repeat(Runnable work, int times) {
    for (int time = 0; time < times; time++) {
      work.run();
    }
  }
}
