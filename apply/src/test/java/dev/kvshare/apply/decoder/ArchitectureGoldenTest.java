package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.SharingMap;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every golden checkpoint computes what Hugging Face transformers computes. */
@Tag("numerics")
class ArchitectureGoldenTest {
  private static final double TOLERANCE = 2e-4;
  private static final int BATCH = 2;
  private static final int TOKENS = 20;

  /** In these the frequencies depend on the length, so that steps differ from one forward. */
  private static final Set<String> LENGTH_DEPENDENT =
      Set.of("llama_dynamic", "phi3_crossing", "phi3_long");

  static List<Path> checkpoints() {
    return Stream.concat(Goldens.architectures().stream(), Goldens.variants().stream()).toList();
  }

  static List<Path> independentOfLength() {
    return checkpoints().stream()
        .filter(directory -> !LENGTH_DEPENDENT.contains(directory.getFileName().toString()))
        .toList();
  }

  @ParameterizedTest
  @MethodSource("checkpoints")
  void prefillGivesTheReferenceLogitsAndHiddenStates(Path directory) {
    Path golden = directory.resolve("golden.safetensors");
    try (Decoder decoder = Goldens.load(directory);
        NDManager manager = decoder.newManager();
        KvCache cache = identityCache(decoder, BATCH)) {
      NDArray ids = manager.create(Goldens.longs(golden, "input_ids"), new Shape(BATCH, TOKENS));
      NDArray hidden = decoder.layers(decoder.embed(ids, cache), cache, 0, decoder.spec().layers());

      assertClose("last_hidden", golden, Goldens.take(decoder.finalNorm(hidden)));
      assertClose("logits", golden, Goldens.take(decoder.head(hidden)));
    }
  }

  @ParameterizedTest
  @MethodSource("independentOfLength")
  void oneTokenAtATimeGivesTheReferenceLogits(Path directory) {
    Path golden = directory.resolve("golden.safetensors");
    try (Decoder decoder = Goldens.load(directory);
        NDManager manager = decoder.newManager();
        KvCache cache = identityCache(decoder, BATCH)) {
      NDArray ids = manager.create(Goldens.longs(golden, "input_ids"), new Shape(BATCH, TOKENS));
      int vocabulary = decoder.spec().vocabularySize();
      float[] logits = new float[BATCH * TOKENS * vocabulary];
      for (int token = 0; token < TOKENS; token++) {
        float[] step = Goldens.take(decoder.decode(ids.get(":, " + token), cache));
        for (int row = 0; row < BATCH; row++) {
          int target = (row * TOKENS + token) * vocabulary;
          System.arraycopy(step, row * vocabulary, logits, target, vocabulary);
        }
      }

      assertClose("logits", golden, logits);
    }
  }

  @ParameterizedTest
  @MethodSource("checkpoints")
  void greedyContinuationGivesTheReferenceTokens(Path directory) {
    Path golden = directory.resolve("golden.safetensors");
    long[] expected = Goldens.longs(golden, "greedy");
    int[] prompt =
        Arrays.stream(Goldens.longs(golden, "input_ids"), 0, TOKENS)
            .mapToInt(Math::toIntExact)
            .toArray();
    try (Checkpoint checkpoint = Checkpoints.open(directory);
        Decoder decoder = Decoder.load(checkpoint, Goldens.OPTIONS);
        NDManager manager = decoder.newManager();
        KvCache cache = identityCache(decoder, 1)) {
      int suppressed = checkpoint.config().integer("eos_token_id");
      long[] actual = new long[expected.length];
      float[] logits = Goldens.take(decoder.prefill(PromptBatch.of(prompt), cache, 7));
      for (int step = 0; step < expected.length; step++) {
        logits[suppressed] = Float.NEGATIVE_INFINITY;
        actual[step] = argMax(logits);
        logits = Goldens.take(decoder.decode(manager.create(new long[] {actual[step]}), cache));
      }

      assertArrayEquals(expected, actual);
    }
  }

  private static KvCache identityCache(Decoder decoder, int batch) {
    return decoder.newCache(SharingMap.identity(decoder.spec().layers()), batch, TOKENS);
  }

  private static void assertClose(String tensor, Path golden, float[] actual) {
    assertEquals(0, Goldens.difference(Goldens.floats(golden, tensor), actual), TOLERANCE, tensor);
  }

  private static int argMax(float[] numbers) {
    int best = 0;
    for (int index = 1; index < numbers.length; index++) {
      if (numbers[index] > numbers[best]) {
        best = index;
      }
    }
    return best;
  }
}
