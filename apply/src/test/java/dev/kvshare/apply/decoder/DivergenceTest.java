package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.generate.ProcessMemory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Next-token distributions of long passages, whose logits are never there as a whole. */
class DivergenceTest {
  /** Writing 5 to it sets the peak of the resident memory to what it is now. */
  private static final Path RESET = Path.of("/proc/self/clear_refs");

  private static final int POSITIONS = 300_000;

  @Test
  void aLongPassageTakesTheMemoryOfPartsOfIt() throws IOException {
    assumeTrue(Files.isWritable(RESET), "the peak of the memory cannot be set anew here");
    try (Decoder decoder = Goldens.load(Goldens.TINY_LLAMA);
        NDManager manager = decoder.newManager()) {
      NDArray reference = states(decoder, manager, 1);
      NDArray hidden = states(decoder, manager, 2);
      NDArray targets = manager.ones(new Shape(1, POSITIONS), DataType.INT64);
      decoder.divergence(first(reference), first(hidden), first(targets));
      Files.writeString(RESET, "5");
      long before = ProcessMemory.peakResidentBytes().orElseThrow();
      Divergence whole = decoder.divergence(reference, hidden, targets);
      long grown = ProcessMemory.peakResidentBytes().orElseThrow() - before;

      long logits = (long) POSITIONS * decoder.spec().vocabularySize() * Float.BYTES;
      assertTrue(grown < 4 * logits, "%d bytes, %d of logits".formatted(grown, logits));
      assertEquals(POSITIONS, whole.positions());
      assertEquals(POSITIONS, whole.targets());
      Divergence parts = Divergence.NONE;
      for (int from = 0; from < POSITIONS; from += POSITIONS / 3) {
        String part = ":, " + from + ":" + (from + POSITIONS / 3);
        parts =
            parts.plus(
                decoder.divergence(reference.get(part), hidden.get(part), targets.get(part)));
      }
      assertEquals(parts.mean(), whole.mean(), 1e-6 * whole.mean());
      assertEquals(parts.loss(), whole.loss(), 1e-6 * whole.loss());
      assertEquals(parts.agreeing(), whole.agreeing());
    }
  }

  private static NDArray first(NDArray tensor) {
    return tensor.get(":, 0:4");
  }

  private static NDArray states(Decoder decoder, NDManager manager, int seed) {
    manager.getEngine().setRandomSeed(seed);
    return manager.randomNormal(new Shape(1, POSITIONS, decoder.spec().hiddenSize()));
  }
}
