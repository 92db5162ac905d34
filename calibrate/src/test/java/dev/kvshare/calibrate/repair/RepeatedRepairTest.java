package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Whatever is repeated in a search keeps no native memory. */
class RepeatedRepairTest {
  private static final int TOKENS = 128;
  private static final int PASSAGES = 40;
  private static final int WARM_UP = 30;
  private static final int REPEATED = 20;
  private static final int ROUNDS = 5;

  private static Decoder decoder;
  private static RepairPassages passages;

  @BeforeAll
  static void load() {
    decoder = TinyModels.load(TinyModels.architecture("llama"));
    passages = TinyModels.passages(decoder, PASSAGES, TOKENS);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  @Test
  void repairsKeepNothing() {
    SharingMap map = TinyModels.map(decoder);
    Repair repair = new Repair(decoder, RepairSettings.DEFAULT);
    assertNothingKept(() -> repair.repair(Plan.of(map), passages, done -> {}));
  }

  /**
   * Less than half of one stream of the residuals is left each time; a repair makes dozens of
   * tensors of that size. Blocks that malloc keeps take tens of repetitions to settle, more on some
   * machines: a leak shows in every round, so one round without it is enough.
   */
  private static void assertNothingKept(Runnable work) {
    long stream = (long) PASSAGES * TOKENS * decoder.spec().hiddenSize() * Float.BYTES;
    long allowed = REPEATED * stream / 2;
    repeat(work, WARM_UP);
    long least = Long.MAX_VALUE;
    for (int round = 0; round < ROUNDS && least >= allowed; round++) {
      long before = ResidentMemory.bytes();
      repeat(work, REPEATED);
      least = Math.min(least, ResidentMemory.bytes() - before);
    }
    assertTrue(least < allowed, "resident memory grew in every round, by at least " + least);
  }

  private static void repeat(Runnable work, int times) {
    for (int time = 0; time < times; time++) {
      work.run();
    }
  }
}
