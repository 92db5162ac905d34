package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which tokens a windowed layer sees with the whole cache, on a random Llama of eight layers. */
class WindowMaskTest {
  private static final double TOLERANCE = 2e-4;
  private static final int TOKENS = 14;
  private static final SharingMap IDENTITY = SharingMap.identity(8);
  private static final List<Integer> ALL = IntStream.range(0, 8).boxed().toList();

  private static Decoder decoder;

  @BeforeAll
  static void load() {
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  private static CacheOptions options(int sinks, int window) {
    return CacheOptions.of(Plan.of(IDENTITY).withWindows(Plan.Windows.of(ALL, sinks, window)));
  }

  /** A token is seen where a change of it changes what the lowest layer gives: all pairs tried. */
  @ParameterizedTest
  @CsvSource({"0, 5", "1, 1", "2, 5", "3, 4", "4, 20"})
  void aLayerSeesItsFirstAndLastTokens(int sinks, int window) {
    int[] text = text(TOKENS, 1);
    float[][] rows = lowestLayer(text, sinks, window);
    for (int changed = 0; changed < TOKENS; changed++) {
      int[] other = text.clone();
      other[changed] = text[changed] == 7 ? 8 : 7;
      float[][] found = lowestLayer(other, sinks, window);
      for (int place = 0; place < TOKENS; place++) {
        boolean sees = changed <= place && (changed < sinks || changed > place - window);
        assertEquals(
            sees,
            !Arrays.equals(rows[place], found[place]),
            "token %d by that at %d".formatted(changed, place));
      }
    }
  }

  /** What the lowest layer gives at each place of a text. */
  private static float[][] lowestLayer(int[] text, int sinks, int window) {
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(options(sinks, window), 1, TOKENS)) {
      long[] ids = Arrays.stream(text).asLongStream().toArray();
      NDArray hidden = decoder.embed(manager.create(ids, new Shape(1, ids.length)), cache);
      float[] all = Goldens.take(decoder.layers(hidden, cache, 0, 1));
      int size = all.length / text.length;
      return IntStream.range(0, text.length)
          .mapToObj(place -> Arrays.copyOfRange(all, place * size, (place + 1) * size))
          .toArray(float[][]::new);
    }
  }

  @Test
  void aTextWithinSinksAndWindowIsSeenAsWithoutThem() {
    int[] text = text(9, 2);
    float[] whole = lastLogits(CacheOptions.of(IDENTITY), text);
    assertEquals(0, Goldens.difference(whole, lastLogits(options(4, 5), text)), TOLERANCE);
    double beyond = Goldens.difference(whole, lastLogits(options(3, 5), text));
    assertTrue(beyond > 100 * TOLERANCE, "one token hidden changes logits by " + beyond);
  }

  private static float[] lastLogits(CacheOptions options, int[] text) {
    try (KvCache cache = decoder.newCache(options, 1, text.length)) {
      return Goldens.take(decoder.prefill(PromptBatch.of(text), cache, text.length));
    }
  }

  @ParameterizedTest
  @CsvSource({"0, 5, 1", "2, 5, 1", "2, 5, 3", "3, 1, 4", "4, 20, 5"})
  void stepsAndChunksGiveWhatOnePassDoes(int sinks, int window, int chunk) {
    int[] text = text(TOKENS, 3);
    int[] shorter = text(6, 4);
    try (NDManager manager = decoder.newManager();
        KvCache padded = decoder.newCache(options(sinks, window), 2, TOKENS)) {
      PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, 9), shorter);
      float[] found = Goldens.take(decoder.prefill(prompts, padded, chunk));
      int[] second = shorter;
      for (int length = 9; length <= TOKENS; length++) {
        float[] expected = lastLogits(options(sinks, window), Arrays.copyOf(text, length));
        assertRow(expected, found, 0);
        assertRow(lastLogits(options(sinks, window), second), found, 1);
        if (length < TOKENS) {
          second = Arrays.copyOf(second, second.length + 1);
          second[second.length - 1] = length;
          long[] next = {text[length], length};
          found = Goldens.take(decoder.decode(manager.create(next), padded));
        }
      }
      assertArrayEquals(new int[] {TOKENS, 11}, new int[] {padded.length(), second.length});
    }
  }

  private static void assertRow(float[] expected, float[] found, int row) {
    int size = expected.length;
    float[] own = Arrays.copyOfRange(found, row * size, (row + 1) * size);
    assertEquals(0, Goldens.difference(expected, own), TOLERANCE, "row " + row);
  }

  private static int[] text(int tokens, int seed) {
    return new Random(seed).ints(tokens, 3, 256).toArray();
  }
}
