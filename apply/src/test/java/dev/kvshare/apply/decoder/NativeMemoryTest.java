package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.plan.SharingMap;
import org.junit.jupiter.api.Test;

/** A long run does not take more and more native memory. */
class NativeMemoryTest {
  private static final int BATCH = 256;
  private static final int STEPS = 300;

  @Test
  void manyStepsKeepNothing() {
    long[] ids = new long[BATCH];
    try (Decoder decoder = Goldens.load(Goldens.TINY_LLAMA);
        NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SharingMap.identity(8), BATCH, 16)) {
      NDArray input = manager.create(ids);
      steps(decoder, cache, input, 50);
      int arrays = manager.getManagedArrays().size();
      long logitsOfAllSteps = (long) STEPS * BATCH * decoder.spec().vocabularySize() * Float.BYTES;
      MemoryGrowth.assertBelow(logitsOfAllSteps / 3, () -> steps(decoder, cache, input, STEPS));
      assertEquals(arrays, manager.getManagedArrays().size());
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
}
