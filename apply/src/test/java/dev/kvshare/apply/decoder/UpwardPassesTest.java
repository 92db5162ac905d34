package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Sources above their readers in every way to run them; the reference is one forward call. */
class UpwardPassesTest {
  private static final double TOLERANCE = 1e-3;
  private static final SharingMap LCKV = SharingMap.of(0, 6, 6, 6, 6, 6, 6, 7);

  private static Decoder decoder;

  @BeforeAll
  static void load() {
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "0_6_6_6_6_6_6_7",
        "1_1_3_3_5_5_7_7",
        "0_1_2_5s_5s_5_5_5",
        "7_7_7_7_7_7_7_7",
        "0_3_5_3_5_5_6_6"
      })
  void prefillGivesTheLastLogitsAndTheCacheOfOneForward(String types) {
    int[] prompt = tokens(20, 1);
    for (Plan plan : plans(types, 3)) {
      assertEquals(
          0,
          Goldens.difference(forwardThenStep(plan, prompt), prefillThenStep(plan, prompt)[0]),
          TOLERANCE,
          plan.toString());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"0_6_6_6_6_6_6_7", "1_1_3_3_5_5_7_7", "0_1_2_5s_5s_5_5_5"})
  void rowsOfAPaddedBatchDoNotSeeEachOther(String types) {
    int[][] prompts = {tokens(20, 1), tokens(13, 2), tokens(1, 3)};
    for (Plan plan : plans(types, 3)) {
      float[][] together = prefillThenStep(plan, prompts);
      for (int row = 0; row < prompts.length; row++) {
        float[] alone = prefillThenStep(plan, prompts[row])[0];
        assertEquals(0, Goldens.difference(alone, together[row]), TOLERANCE, plan + ", row " + row);
      }
    }
  }

  @Test
  void asManyPassesAsTokensAreTheSequentialResult() {
    int[] prompt = tokens(11, 4);
    Plan sequential = plan(LCKV, new UpwardReading.Sequential());
    // One token more than passes keeps the passes from being replaced by single tokens.
    float[] expected = prefillThenStep(sequential, prompt)[0];
    float[] found = prefillThenStep(plan(LCKV, new UpwardReading.Parallel(10, 0)), prompt)[0];
    assertTrue(Goldens.difference(expected, found) > 0);
    found = prefillThenStep(plan(LCKV, new UpwardReading.Parallel(11, 0)), prompt)[0];
    assertEquals(0, Goldens.difference(expected, found), TOLERANCE);
  }

  @Test
  void everyLayerOfAPassIsCounted() {
    // 24 tokens through layer 0, nine times through layers 1 to 5, once through 6; layer 7 makes
    // its keys and values only and is run for the last token.
    assertEquals(
        24 + 9 * 24 * 5 + 24 + 1, cost(plan(LCKV, UpwardReading.LCKV_DEFAULT), tokens(24, 6)));
    // Four groups of two layers: four passes over the lower, one over the upper, whose last is run
    // for the last token only.
    assertEquals(
        4 * 4 * 24 + 3 * 24 + 1,
        cost(
            plan(SharingMap.of(1, 1, 3, 3, 5, 5, 7, 7), new UpwardReading.Parallel(4, 0)),
            tokens(24, 6)));
    // Token by token, every token goes through all layers but the last.
    assertEquals(24 * 7 + 1, cost(plan(LCKV, new UpwardReading.Sequential()), tokens(24, 6)));
  }

  @Test
  void partsOfAnIteratedGroupAreRefused() {
    try (NDManager manager = decoder.newManager();
        KvCache cache =
            decoder.newCache(CacheOptions.of(plan(LCKV, UpwardReading.LCKV_DEFAULT)), 1, 12)) {
      NDArray hidden = decoder.embed(ids(manager, tokens(12, 7)), cache);
      IllegalArgumentException refused =
          assertThrows(IllegalArgumentException.class, () -> decoder.layers(hidden, cache, 0, 4));
      assertTrue(refused.getMessage().contains("layers 1 to 6"), refused.getMessage());
      assertThrows(IllegalArgumentException.class, () -> cache.fork(SharingMap.identity(8), 0));
    }
  }

  private static List<Plan> plans(String types, int window) {
    LayerTypes parsed = LayerTypes.parse(types);
    return List.of(
        parsed.plan(window, UpwardReading.LCKV_DEFAULT, false),
        parsed.plan(window, new UpwardReading.Sequential(), false));
  }

  private static Plan plan(SharingMap map, UpwardReading reading) {
    return Plan.of(map).withUpward(reading);
  }

  private static int[] tokens(int count, long seed) {
    return new Random(seed).ints(count, 0, 256).toArray();
  }

  private static NDArray ids(NDManager manager, int[] tokens) {
    return manager.create(
        Arrays.stream(tokens).asLongStream().toArray(), new Shape(1, tokens.length));
  }

  /** Logits of the last prompt token and of one token more. */
  private static float[] forwardThenStep(Plan plan, int[] prompt) {
    int vocabulary = decoder.spec().vocabularySize();
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), 1, 1)) {
      float[] all = Goldens.take(decoder.forward(ids(manager, prompt), cache));
      float[] step = Goldens.take(decoder.decode(manager.create(new long[] {7}), cache));
      float[] last = Arrays.copyOfRange(all, all.length - vocabulary, all.length + vocabulary);
      System.arraycopy(step, 0, last, vocabulary, vocabulary);
      return last;
    }
  }

  private static float[][] prefillThenStep(Plan plan, int[]... prompts) {
    int vocabulary = decoder.spec().vocabularySize();
    float[][] logits = new float[prompts.length][2 * vocabulary];
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), prompts.length, 1)) {
      long[] next = new long[prompts.length];
      Arrays.fill(next, 7);
      float[] last = Goldens.take(decoder.prefill(PromptBatch.of(prompts), cache, 5));
      float[] step = Goldens.take(decoder.decode(manager.create(next), cache));
      for (int row = 0; row < prompts.length; row++) {
        System.arraycopy(last, row * vocabulary, logits[row], 0, vocabulary);
        System.arraycopy(step, row * vocabulary, logits[row], vocabulary, vocabulary);
      }
    }
    return logits;
  }

  /** Positions times layers of a prefill. */
  private static long cost(Plan plan, int[] prompt) {
    long before = decoder.layerTokens();
    try (KvCache cache = decoder.newCache(CacheOptions.of(plan), 1, 1)) {
      decoder.prefill(PromptBatch.of(prompt), cache, 5).close();
    }
    return decoder.layerTokens() - before;
  }
}
