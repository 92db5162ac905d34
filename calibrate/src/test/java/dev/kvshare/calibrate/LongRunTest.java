package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.cache.StreamingLlm;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.CompressedCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.repair.ResidentMemory;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** A long run takes no more memory than a short one. */
@EnabledOnOs(OS.LINUX)
class LongRunTest {
  /** What an allocator may keep for itself. */
  private static final long SLACK_BYTES = 40_000_000;

  private static final int STEPS = 10_000;
  private static final int CALIBRATIONS = 50;

  /** A leak shows in each; what an allocator keeps for itself settles. */
  private static final int ROUNDS = 3;

  private static TinyModel model;

  @BeforeAll
  static void load() {
    model = TinyModel.open();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  /** Shared and windowed layers, each cache of which is limited. */
  @Test
  void stepsOfDecoding() {
    Plan plan =
        Plan.of(SharingMap.of(0, 1, 1, 3, 4, 5, 6, 6))
            .withWindows(Plan.Windows.of(List.of(3, 4), 4, 16));
    try (NDManager manager = model.decoder().newManager();
        CompressedCache cache =
            model
                .decoder()
                .newCache(CacheOptions.of(plan), new StreamingLlm(TokenAmount.tokens(64), 4), 1)) {
      model.decoder().prefill(PromptBatch.of(new int[100]), cache, 64).close();
      long before = 0;
      int arrays = 0;
      long bytes = 0;
      for (int step = 0; step < STEPS; step++) {
        if (step == STEPS / 10) {
          before = ResidentMemory.bytes();
          arrays = manager.getManagedArrays().size();
          bytes = cache.bytes();
        }
        try (NDArray token = manager.create(new long[] {step % 256})) {
          model.decoder().decode(token, cache).close();
        }
      }
      assertEquals(arrays, manager.getManagedArrays().size());
      assertEquals(bytes, cache.bytes());
      assertGrownLittle(before);
    }
  }

  /** Scores, plans, repairs and recall included; the policies are equal. */
  @Test
  void calibrations() {
    Calibration auto = model.calibration().method("auto").keep("50%");
    Set<Plan> plans = new HashSet<>();
    for (int i = 0; i < CALIBRATIONS / 10; i++) {
      plans.add(auto.run().policy().plan());
    }
    long least = Long.MAX_VALUE;
    for (int round = 0; round < ROUNDS && least >= SLACK_BYTES; round++) {
      long before = ResidentMemory.bytes();
      for (int i = CALIBRATIONS / 10; i < CALIBRATIONS; i++) {
        plans.add(auto.run().policy().plan());
      }
      least = Math.min(least, ResidentMemory.bytes() - before);
    }
    assertEquals(1, plans.size(), plans.toString());
    assertTrue(least < SLACK_BYTES, "grew in every round, by at least " + least + " bytes");
  }

  private static void assertGrownLittle(long before) {
    long growth = ResidentMemory.bytes() - before;
    assertTrue(growth < SLACK_BYTES, "grew by " + growth + " bytes");
  }
}
