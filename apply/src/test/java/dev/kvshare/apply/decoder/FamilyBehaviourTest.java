package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.SharingMap;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What holds for every family: a padded batch in chunks, under a sharing map and continued step by
 * step, gives the logits of each row alone in one forward; lower precision gives nearly the same.
 */
class FamilyBehaviourTest {
  private static final double TOLERANCE = 2e-4;
  private static final SharingMap SHARED = SharingMap.of(0, 1, 0, 1);

  static List<Path> architectures() {
    return Goldens.architectures();
  }

  @ParameterizedTest
  @MethodSource("architectures")
  void paddedChunksAndStepsGiveTheLogitsOfEachRowAlone(Path directory) {
    Random random = new Random(11);
    int[] longer = random.ints(18, 3, 256).toArray();
    int[] shorter = random.ints(11, 3, 256).toArray();
    int prompt = 15;
    int shorterPrompt = prompt - longer.length + shorter.length;
    try (Decoder decoder = load(directory, Goldens.OPTIONS);
        NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SHARED, 2, 8)) {
      PromptBatch batch =
          PromptBatch.of(Arrays.copyOf(longer, prompt), Arrays.copyOf(shorter, shorterPrompt));
      float[] logits = Goldens.take(decoder.prefill(batch, cache, 4));
      for (int step = 0; step <= longer.length - prompt; step++) {
        assertRow(decoder, Arrays.copyOf(longer, prompt + step), logits, 0);
        assertRow(decoder, Arrays.copyOf(shorter, shorterPrompt + step), logits, 1);
        if (prompt + step < longer.length) {
          long[] next = {longer[prompt + step], shorter[shorterPrompt + step]};
          logits = Goldens.take(decoder.decode(manager.create(next), cache));
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("architectures")
  void lowerPrecisionGivesNearlyTheSameLogits(Path directory) {
    int[] prompt = new Random(12).ints(20, 3, 256).toArray();
    float[] exact;
    double enough;
    try (Decoder decoder = load(directory, Goldens.OPTIONS)) {
      boolean routed =
          decoder.spec().blocks().stream().anyMatch(block -> block.feedForward().experts() != null);
      enough = routed ? 0.7 : 0.99; // a rounding may send a token to another expert
      exact = alone(decoder, prompt);
    }
    for (ComputeType type : List.of(ComputeType.BFLOAT16, ComputeType.FLOAT16)) {
      try (Decoder decoder = load(directory, new DecoderOptions("cpu", type, 1))) {
        double cosine = cosine(exact, alone(decoder, prompt));
        assertTrue(cosine > enough, type + ": cosine " + cosine);
      }
    }
  }

  private static void assertRow(Decoder decoder, int[] prompt, float[] logits, int row) {
    int vocabulary = decoder.spec().vocabularySize();
    float[] actual = Arrays.copyOfRange(logits, row * vocabulary, (row + 1) * vocabulary);
    double difference = Goldens.difference(alone(decoder, prompt), actual);
    assertEquals(0, difference, TOLERANCE, "row " + row + ", " + prompt.length + " tokens");
  }

  private static float[] alone(Decoder decoder, int[] prompt) {
    long[] ids = Arrays.stream(prompt).asLongStream().toArray();
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SHARED, 1, prompt.length)) {
      NDArray input = manager.create(ids, new Shape(1, prompt.length));
      return decoder.forward(input, cache).get(":, -1").toFloatArray();
    }
  }

  private static Decoder load(Path directory, DecoderOptions options) {
    try (Checkpoint checkpoint = Checkpoints.open(directory)) {
      return Decoder.load(checkpoint, options);
    }
  }

  private static double cosine(float[] left, float[] right) {
    double product = 0;
    double leftNorm = 0;
    double rightNorm = 0;
    for (int index = 0; index < left.length; index++) {
      product += (double) left[index] * right[index];
      leftNorm += (double) left[index] * left[index];
      rightNorm += (double) right[index] * right[index];
    }
    return product / Math.sqrt(leftNorm * rightNorm);
  }
}
