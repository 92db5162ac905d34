package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.IntegerKv;
import dev.kvshare.apply.cache.PyramidKv;
import dev.kvshare.apply.cache.SnapKv;
import dev.kvshare.apply.cache.StreamingLlm;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.PolicyException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What every cache policy promises under every sharing map, on a random Llama of eight layers. */
class CompressedCacheTest {
  private static final double TOLERANCE = 2e-4;
  private static final int PROMPT = 40;
  private static final int BUDGET = 16;
  private static final int NEW_TOKENS = 12;

  private static final List<SharingMap> MAPS =
      List.of(
          SharingMap.identity(8),
          SharingMap.of(0, 0, 0, 3, 3, 3, 3, 3),
          SharingMap.of(0, 1, 2, 0, 4, 5, 1, 7));

  private static Decoder decoder;

  @BeforeAll
  static void load() {
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  /** Each method with a budget of so many tokens, also as integers. */
  private static List<CachePolicy> policies(int budget) {
    TokenAmount amount = TokenAmount.tokens(budget);
    List<CachePolicy> evictions =
        List.of(
            new StreamingLlm(amount, 3),
            new H2o(amount, H2o.DEFAULT_RECENT, false),
            new SnapKv(amount, 4, 5),
            new PyramidKv(amount, 4, 3, 4));
    List<CachePolicy> policies = new ArrayList<>(evictions);
    for (KeyValueFormat format :
        List.of(KeyValueFormat.INT8_PER_TOKEN, KeyValueFormat.INT4_PER_TOKEN)) {
      evictions.forEach(each -> policies.add(new IntegerKv.WithEviction(each, format)));
    }
    return policies;
  }

  private static Stream<Arguments> everyPolicyAndMap() {
    return MAPS.stream()
        .flatMap(
            map ->
                Stream.concat(
                        policies(BUDGET).stream(),
                        Arrays.stream(KeyValueFormat.values()).skip(1).map(IntegerKv::new))
                    .map(policy -> Arguments.of(policy, map)));
  }

  @ParameterizedTest
  @MethodSource("everyPolicyAndMap")
  void budgetAndMemoryAreAsPredictedAtEveryStep(CachePolicy policy, SharingMap map) {
    int[] text = text(PROMPT + NEW_TOKENS, 1);
    try (NDManager manager = decoder.newManager();
        CompressedCache cache = decoder.newCache(CacheOptions.of(map), policy, 2)) {
      PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, PROMPT), Arrays.copyOf(text, 9));
      decoder.prefill(prompts, cache, 7).close();
      assertBounds(cache, PROMPT);
      for (int step = 0; step < NEW_TOKENS; step++) {
        long token = text[PROMPT + step];
        decoder.decode(manager.create(new long[] {token, token}), cache).close();
        assertBounds(cache, PROMPT + step + 1);
      }
    }
  }

  private static void assertBounds(CompressedCache cache, int tokens) {
    assertEquals(tokens, cache.length());
    assertEquals(cache.predictedBytes(), cache.bytes());
    boolean bounded =
        cache.plan().rule(0).boundsDecoding() || tokens == PROMPT; // what is generated may stay
    long kept = 0;
    for (int owner : cache.map().owners()) {
      long most = cache.budget(owner) + (bounded ? 0L : tokens - PROMPT);
      assertTrue(cache.kept(owner) <= Math.min(most, tokens), "layer " + owner);
      kept += cache.kept(owner);
      for (int[][] row : cache.places(owner)) {
        for (int[] places : row) {
          assertEquals(cache.kept(owner), Arrays.stream(places).distinct().count());
        }
      }
    }
    boolean evicts = !(cache.policy() instanceof IntegerKv);
    if (evicts && bounded) {
      long mean = Math.round((double) kept / cache.map().ownedLayers());
      assertEquals(BUDGET, mean, "tokens a layer in the mean");
    }
  }

  /** Two copies of the shorter prompt decode as it does, which does not notice them. */
  @ParameterizedTest
  @MethodSource("everyPolicyAndMap")
  void aCopyGoesOnByItself(CachePolicy policy, SharingMap map) {
    aCopyGoesOnByItself(decoder.newCache(CacheOptions.of(map), policy, 2));
  }

  @Test
  void aCopyOfAWholeCacheGoesOnByItself() {
    aCopyGoesOnByItself(decoder.newCache(MAPS.get(1), 2, 1));
  }

  private static void aCopyGoesOnByItself(DecodingCache cache) {
    int[] text = text(PROMPT + NEW_TOKENS, 1);
    try (NDManager manager = decoder.newManager();
        cache) {
      PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, PROMPT), Arrays.copyOf(text, 9));
      decoder.prefill(prompts, cache, 7).close();
      long bytes = cache.bytes();
      int arrays = manager.getParentManager().getManagedArrays().size();
      List<float[]> found = new ArrayList<>();
      try (DecodingCache copy = cache.copy(1, 1)) {
        assertEquals(bytes, copy.bytes());
        for (int step = 0; step < NEW_TOKENS; step++) {
          long token = text[PROMPT + step];
          found.add(Goldens.take(decoder.decode(manager.create(new long[] {token, token}), copy)));
        }
        assertEquals(PROMPT + NEW_TOKENS, copy.length());
      }
      assertEquals(PROMPT, cache.length());
      assertEquals(bytes, cache.bytes());
      assertEquals(arrays + NEW_TOKENS, manager.getParentManager().getManagedArrays().size());
      for (int step = 0; step < NEW_TOKENS; step++) {
        long token = text[PROMPT + step];
        float[] expected =
            Goldens.take(decoder.decode(manager.create(new long[] {token + 1, token}), cache));
        int vocabulary = expected.length / 2;
        float[] second = Arrays.copyOfRange(expected, vocabulary, expected.length);
        float[] copied = found.get(step);
        assertEquals(
            0, Goldens.difference(second, Arrays.copyOf(copied, vocabulary)), 1e-4, "" + step);
        assertEquals(
            0,
            Goldens.difference(second, Arrays.copyOfRange(copied, vocabulary, copied.length)),
            1e-4,
            "" + step);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("everyPolicyAndMap")
  void whatTheRuleKeepsAlwaysIsThere(CachePolicy policy, SharingMap map) {
    int[] text = text(PROMPT + NEW_TOKENS, 2);
    try (NDManager manager = decoder.newManager();
        CompressedCache cache = decoder.newCache(CacheOptions.of(map), policy, 1)) {
      decoder.prefill(PromptBatch.of(Arrays.copyOf(text, PROMPT)), cache, PROMPT).close();
      for (int token = PROMPT; token < text.length; token++) {
        for (int layer = 0; layer < 8; layer++) {
          int sinks = cache.plan().rule(layer).sinks();
          int recent = cache.plan().rule(layer).recent();
          for (int[] places : cache.places(layer)[0]) {
            for (int sink = 0; sink < sinks; sink++) {
              assertEquals(sink, places[sink]);
            }
            for (int back = 1; back <= recent; back++) {
              assertEquals(token - back, places[places.length - back]);
            }
          }
        }
        decoder.decode(manager.create(new long[] {text[token]}), cache).close();
      }
    }
  }

  private static Stream<Arguments> ampleBudgets() {
    return MAPS.stream()
        .flatMap(
            map ->
                policies(100).stream()
                    .filter(policy -> policy.format() == KeyValueFormat.COMPUTE_TYPE)
                    .map(policy -> Arguments.of(policy, map)));
  }

  @ParameterizedTest
  @MethodSource("ampleBudgets")
  void aBudgetThatCoversTheTextChangesNothing(CachePolicy policy, SharingMap map) {
    int[] text = text(PROMPT + NEW_TOKENS, 3);
    PromptBatch prompts =
        PromptBatch.of(Arrays.copyOf(text, PROMPT), Arrays.copyOfRange(text, 5, 16));
    try (NDManager manager = decoder.newManager();
        KvCache plain = decoder.newCache(map, 2, 64);
        CompressedCache cache = decoder.newCache(CacheOptions.of(map), policy, 2)) {
      assertSame(decoder.prefill(prompts, plain, 64), decoder.prefill(prompts, cache, 11));
      for (int token = PROMPT; token < text.length; token++) {
        NDArray ids = manager.create(new long[] {text[token], text[token - 3]});
        assertSame(decoder.decode(ids, plain), decoder.decode(ids, cache));
      }
      assertEquals(text.length, cache.kept(0));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "INT8_PER_TOKEN, 0.05",
    "INT8_PER_CHANNEL, 0.05",
    "INT4_PER_TOKEN, 0.8",
    "INT4_PER_CHANNEL, 0.8"
  })
  void integersAreCloseToTheNumbers(KeyValueFormat format, double part) {
    int[] text = text(PROMPT + NEW_TOKENS, 4);
    SharingMap map = MAPS.get(2);
    try (NDManager manager = decoder.newManager();
        KvCache plain = decoder.newCache(map, 1, 64);
        CompressedCache cache = decoder.newCache(CacheOptions.of(map), new IntegerKv(format), 1)) {
      PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, PROMPT));
      float[] expected = Goldens.take(decoder.prefill(prompts, plain, 64));
      float[] found = Goldens.take(decoder.prefill(prompts, cache, 11));
      for (int token = PROMPT; token < text.length; token++) {
        NDArray ids = manager.create(new long[] {text[token]});
        expected = Goldens.take(decoder.decode(ids, plain));
        found = Goldens.take(decoder.decode(ids, cache));
      }
      double largest = Goldens.difference(new float[expected.length], expected);
      double difference = Goldens.difference(expected, found);
      assertTrue(difference < part * largest, difference + " of " + largest);
      assertTrue(difference > 0);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"INT8_PER_TOKEN", "INT4_PER_TOKEN"})
  void scalesOfTokensGiveTheSameInOnePassAndStepByStep(KeyValueFormat format) {
    long[] text = Arrays.stream(text(PROMPT, 6)).asLongStream().toArray();
    CacheOptions options = CacheOptions.of(MAPS.get(2));
    try (NDManager manager = decoder.newManager();
        CompressedCache whole = decoder.newCache(options, new IntegerKv(format), 1);
        CompressedCache steps = decoder.newCache(options, new IntegerKv(format), 1)) {
      NDArray ids = manager.create(text, new Shape(1, PROMPT));
      float[] expected = null;
      for (int token = 0; token < PROMPT; token++) {
        NDArray id = ids.get(new NDIndex(":, {}:{}", token, token + 1));
        expected = Goldens.take(decoder.hidden(id, steps));
      }
      float[] found = Goldens.take(decoder.hidden(ids, whole));
      float[] last = Arrays.copyOfRange(found, found.length - expected.length, found.length);
      assertEquals(0, Goldens.difference(expected, last), 1e-4);
    }
  }

  /** Layer 0 has the same keys and values whatever the format. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aByteHoldsTwoIntegersOfFourBits(boolean byChannel) {
    KeyValueFormat whole =
        byChannel ? KeyValueFormat.INT8_PER_CHANNEL : KeyValueFormat.INT8_PER_TOKEN;
    KeyValueFormat half =
        byChannel ? KeyValueFormat.INT4_PER_CHANNEL : KeyValueFormat.INT4_PER_TOKEN;
    CacheOptions options = CacheOptions.of(MAPS.get(0));
    try (CompressedCache bytes = decoder.newCache(options, new IntegerKv(whole), 1);
        CompressedCache halves = decoder.newCache(options, new IntegerKv(half), 1)) {
      decoder.prefill(PromptBatch.of(text(PROMPT, 4)), bytes, 11).close();
      decoder.prefill(PromptBatch.of(text(PROMPT, 4)), halves, 11).close();
      for (int tensor = 0; tensor < 2; tensor++) {
        Shape shape = bytes.store(0).state()[tensor].getShape();
        int slots = (int) shape.get(2);
        int size = (int) shape.get(3);
        byte[] eight = bytes.store(0).state()[tensor].toByteArray();
        byte[] four = halves.store(0).state()[tensor].toByteArray();
        float[] eightScales = bytes.store(0).state()[tensor + 2].toFloatArray();
        float[] fourScales = halves.store(0).state()[tensor + 2].toFloatArray();
        assertEquals(eight.length, 2 * four.length);
        boolean grouped = byChannel && tensor == 0;
        int complete = grouped ? PROMPT / KeyValueFormat.GROUP * KeyValueFormat.GROUP : PROMPT;
        for (int number = 0; number < eight.length; number++) {
          int row = number / size;
          int i = number % size;
          if (row % slots >= complete) {
            continue;
          }
          int scale = grouped ? row / KeyValueFormat.GROUP * size + i : row;
          int both = four[row * size / 2 + i % (size / 2)] & 0xff;
          int integer = (i < size / 2 ? both & 15 : both >> 4) - 8;
          assertTrue(Math.abs(integer) <= 7, "" + integer);
          assertEquals(
              eight[number] * eightScales[scale],
              integer * fourScales[scale],
              (eightScales[scale] + fourScales[scale]) / 2 * 1.001);
        }
      }
    }
  }

  /**
   * When all layers read the lowest one, keys and values depend on tokens alone, and so the last
   * logits are those of the kept tokens as a text of their own: with positions inside the cache.
   */
  @ParameterizedTest
  @ValueSource(ints = {1, 13, 512})
  void streamingGivesTheLogitsOfTheKeptTokensAsAText(int chunkTokens) {
    SharingMap map = SharingMap.of(0, 0, 0, 0, 0, 0, 0, 0);
    int length = chunkTokens == 512 ? 6000 : 100;
    int[] text = text(length + NEW_TOKENS, 5);
    try (NDManager manager = decoder.newManager();
        CompressedCache cache =
            decoder.newCache(
                CacheOptions.of(map), new StreamingLlm(TokenAmount.tokens(BUDGET), 3), 1)) {
      PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, length));
      float[] found = Goldens.take(decoder.prefill(prompts, cache, chunkTokens));
      for (int token = length; token <= text.length; token++) {
        int[] kept = Arrays.copyOf(text, BUDGET);
        System.arraycopy(text, token - BUDGET + 3, kept, 3, BUDGET - 3);
        try (KvCache plain = decoder.newCache(map, 1, BUDGET)) {
          float[] expected = Goldens.take(decoder.prefill(PromptBatch.of(kept), plain, BUDGET));
          assertEquals(0, Goldens.difference(expected, found), 1e-3, "token " + token);
        }
        if (token < text.length) {
          NDArray ids = manager.create(new long[] {text[token]});
          found = Goldens.take(decoder.decode(ids, cache));
        }
      }
    }
  }

  /** Long enough for keys to be turned back twice, so that rotary tables stay as they are, too. */
  @Test
  void aStreamTakesConstantMemory() {
    int[] text = text(64, 6);
    long[] ids = Arrays.stream(text).asLongStream().toArray();
    StreamingLlm policy = new StreamingLlm(TokenAmount.tokens(BUDGET), 3);
    try (NDManager manager = decoder.newManager();
        CompressedCache cache = decoder.newCache(CacheOptions.of(MAPS.get(1)), policy, 1)) {
      NDArray input = manager.create(ids, new Shape(1, ids.length));
      decoder.hidden(input, cache).close();
      long bytes = cache.bytes();
      int arrays = manager.getManagedArrays().size();
      for (int chunk = 1; chunk < 200; chunk++) {
        decoder.hidden(input, cache).close();
        assertEquals(bytes, cache.bytes());
      }
      assertEquals(200 * 64, cache.length());
      assertTrue(cache.origin() > 8000, "columns begin at " + cache.origin());
      assertEquals(arrays, manager.getManagedArrays().size());
      assertArrayEquals(new int[] {0, 1, 2}, Arrays.copyOf(cache.places(7)[0][1], 3));
    }
  }

  @Test
  void whatMakesNoSenseIsRefused() {
    CacheOptions plain = CacheOptions.of(MAPS.get(0));
    StreamingLlm policy = new StreamingLlm(TokenAmount.tokens(3), 3);
    PolicyException.Unsupported noRoom =
        assertThrows(
            PolicyException.Unsupported.class,
            () -> {
              try (CompressedCache cache = decoder.newCache(plain, policy, 1)) {
                decoder.prefill(PromptBatch.of(text(9, 7)), cache, 9).close();
              }
            });
    assertTrue(noRoom.getMessage().contains("3 sinks leave no room"), noRoom.getMessage());
    Plan upward =
        Plan.of(SharingMap.of(0, 7, 2, 3, 4, 5, 6, 7)).withUpward(new UpwardReading.Sequential());
    PolicyException.Unsupported above =
        assertThrows(
            PolicyException.Unsupported.class,
            () -> decoder.newCache(CacheOptions.of(upward), policies(8).get(1), 1));
    assertTrue(above.getMessage().contains("above their readers"), above.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () ->
            new IntegerKv.WithEviction(
                new IntegerKv(KeyValueFormat.INT8_PER_TOKEN), KeyValueFormat.INT8_PER_TOKEN));
  }

  /** The lowest layer computes the same under both maps; only its readers can make a difference. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void theAttentionOfReadersCounts(int method) {
    CachePolicy policy = policies(BUDGET).get(method);
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 9));
    try (CompressedCache alone =
            decoder.newCache(CacheOptions.of(SharingMap.of(0, 1, 1, 1, 1, 1, 1, 1)), policy, 1);
        CompressedCache read =
            decoder.newCache(CacheOptions.of(SharingMap.of(0, 1, 0, 0, 0, 0, 0, 0)), policy, 1)) {
      decoder.prefill(prompts, alone, PROMPT).close();
      decoder.prefill(prompts, read, PROMPT).close();
      assertEquals(alone.kept(0), read.kept(0));
      assertFalse(Arrays.deepEquals(alone.places(0), read.places(0)));
      assertTrue(Arrays.deepEquals(read.places(0), read.places(5)));
    }
  }

  private static Stream<Path> architectures() {
    return Goldens.architectures().stream();
  }

  /** Windows, soft caps, learned positions, experts and so on: an ample budget changes nothing. */
  @ParameterizedTest
  @MethodSource("architectures")
  void everyFamilyRunsUnderEveryPolicy(Path model) {
    int[] text = text(36, 8);
    try (Decoder family = Goldens.load(model);
        NDManager manager = family.newManager()) {
      SharingMap map = SharingMap.identity(family.spec().layers());
      int window = family.spec().blocks().get(0).attention().window();
      boolean learned = family.spec().learnedPositions() > 0;
      for (CachePolicy policy : policies(100)) {
        if (policy.format() != KeyValueFormat.COMPUTE_TYPE || (learned && policy.endless())) {
          continue;
        }
        try (KvCache plain = family.newCache(map, 1, 64);
            CompressedCache cache = family.newCache(CacheOptions.of(map), policy, 1)) {
          PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, 30));
          assertSame(family.prefill(prompts, plain, 64), family.prefill(prompts, cache, 7));
          for (int token = 30; token < text.length; token++) {
            NDArray ids = manager.create(new long[] {text[token]});
            assertSame(family.decode(ids, plain), family.decode(ids, cache));
          }
          // What is behind the window of a layer is of no use to it.
          assertEquals(window > 0 ? window : text.length, cache.kept(0), policy.name());
          assertEquals(cache.predictedBytes(), cache.bytes());
        }
      }
      StreamingLlm streaming = new StreamingLlm(TokenAmount.tokens(16), 4);
      if (learned) {
        PolicyException.Unsupported refused =
            assertThrows(
                PolicyException.Unsupported.class,
                () -> family.newCache(CacheOptions.of(map), streaming, 1));
        assertTrue(refused.getMessage().contains("learned positions"), refused.getMessage());
      }
    }
  }

  private static void assertSame(NDArray expected, NDArray found) {
    assertEquals(0, Goldens.difference(Goldens.take(expected), Goldens.take(found)), TOLERANCE);
  }

  private static int[] text(int tokens, int seed) {
    return new Random(seed).ints(tokens, 3, 256).toArray();
  }
}
