package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.plan.SharingMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** A long run does not take more and more native memory. */
class NativeMemoryTest {
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final int BATCH = 256;
  private static final int STEPS = 300;

  /** A leak shows in each; what malloc keeps for itself settles. */
  private static final int ROUNDS = 4;

  @Test
  void manyStepsKeepNothing() throws IOException {
    assumeTrue(Files.exists(STATUS), "resident memory is read from /proc");
    long[] ids = new long[BATCH];
    try (Decoder decoder = Goldens.load(Goldens.TINY_LLAMA);
        NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SharingMap.identity(8), BATCH, 16)) {
      NDArray input = manager.create(ids);
      steps(decoder, cache, input, 50);
      int arrays = manager.getManagedArrays().size();
      long logitsOfAllSteps = (long) STEPS * BATCH * decoder.spec().vocabularySize() * Float.BYTES;
      long least = Long.MAX_VALUE;
      for (int round = 0; round < ROUNDS && least >= logitsOfAllSteps / 3; round++) {
        long before = residentBytes();
        steps(decoder, cache, input, STEPS);
        least = Math.min(least, residentBytes() - before);
      }

      assertEquals(arrays, manager.getManagedArrays().size());
      assertTrue(
          least < logitsOfAllSteps / 3,
          "resident memory grew in every round, by at least " + least);
    }
  }

  private static void steps(Decoder decoder, KvCache cache, NDArray input, int steps) {
    for (int step = 0; step < steps; step++) {
      decoder.decode(input, cache).close();
      if (cache.length() == cache.capacity()) {
        cache.truncate(0);
      }
    }
  }

  private static long residentBytes() throws IOException {
    return Files.readAllLines(STATUS).stream()
        .filter(line -> line.startsWith("VmRSS:"))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024)
        .findFirst()
        .orElseThrow();
  }
}
