package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kvshare.apply.generate.ProcessMemory;
import org.junit.jupiter.api.condition.OS;

/** Whether work that is repeated keeps memory, native memory included. */
final class MemoryGrowth {
  /** A leak shows in each; what malloc and the Java heap keep for themselves settles. */
  private static final int ROUNDS = 4;

  private MemoryGrowth() {}

  /**
   * Fails when the resident memory grows in every round; the first round without that ends it.
   *
   * @param allowed bytes of growth that a round must stay below
   * @param round what a leak would show in, warmed up
   */
  static void assertBelow(long allowed, Runnable round) {
    long least = Long.MAX_VALUE;
    for (int i = 0; i < ROUNDS && least >= allowed; i++) {
      long before = residentBytes();
      round.run();
      least = Math.min(least, residentBytes() - before);
    }
    assertTrue(
        least < allowed,
        "resident memory grew in every round, by at least %d bytes, %d allowed"
            .formatted(least, allowed));
  }

  private static long residentBytes() {
    assumeTrue(OS.LINUX.isCurrentOs(), "resident memory is read from /proc");
    return ProcessMemory.residentBytes().orElseThrow();
  }
}
