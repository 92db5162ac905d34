package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.CachePolicy.WholeText;
import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.IntegerKv;
import dev.kvshare.apply.cache.PyramidKv;
import dev.kvshare.apply.cache.SnapKv;
import dev.kvshare.apply.cache.StreamingLlm;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What caches keep of layers that a plan restricts to windows, on a random Llama of eight layers.
 */
class WindowedCacheTest {
  private static final double TOLERANCE = 2e-4;
  private static final int PROMPT = 40;
  private static final int NEW_TOKENS = 14;
  private static final int SINKS = 3;
  private static final int WINDOW = 6;
  private static final List<Integer> ALL = IntStream.range(0, 8).boxed().toList();
  private static final SharingMap IDENTITY = SharingMap.identity(8);

  /** Layer 1 is read by windowed layers only; that of layer 4, itself windowed, by a full one. */
  private static final SharingMap SHARED = SharingMap.of(0, 1, 1, 0, 4, 4, 1, 7);

  private static final List<Plan> PLANS =
      List.of(
          plan(IDENTITY, SINKS, ALL),
          plan(IDENTITY, 0, ALL),
          plan(IDENTITY, SINKS, List.of(1, 4, 5)),
          plan(IDENTITY, 0, List.of(0, 7)),
          plan(SHARED, SINKS, List.of(1, 2, 3, 4, 6)),
          plan(SHARED, 0, List.of(1, 2, 3, 4, 6)));

  private static Decoder decoder;

  @BeforeAll
  static void load() {
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  private static Plan plan(SharingMap map, int sinks, List<Integer> windowed) {
    return Plan.of(map).withWindows(Plan.Windows.of(windowed, sinks, WINDOW));
  }

  private static Stream<Arguments> plansAndChunks() {
    return PLANS.stream()
        .flatMap(plan -> Stream.of(1, 4, 11, 64).map(chunk -> Arguments.of(plan, chunk)));
  }

  @ParameterizedTest
  @MethodSource("plansAndChunks")
  void aGenerationIsThatOfTheWholeCache(Plan plan, int chunk) {
    assertGeneratesAsWhole(plan, null, chunk, List.of(text(PROMPT, 1)));
  }

  @ParameterizedTest
  @MethodSource("plansAndChunks")
  void paddedPromptsAreThoseOfTheWholeCache(Plan plan, int chunk) {
    assertGeneratesAsWhole(plan, null, chunk, List.of(text(PROMPT, 2), text(5, 3), text(17, 4)));
  }

  private static Stream<Arguments> plansAndLongChunks() {
    return PLANS.stream()
        .flatMap(plan -> Stream.of(64, 129, 300).map(chunk -> Arguments.of(plan, chunk)));
  }

  /** Chunks of several blocks of queries, the last of which may be a single one. */
  @ParameterizedTest
  @MethodSource("plansAndLongChunks")
  void longPromptsAreThoseOfTheWholeCache(Plan plan, int chunk) {
    CacheOptions options = CacheOptions.of(plan);
    PromptBatch prompts = PromptBatch.of(text(300, 12), text(300, 13));
    try (KvCache plain = decoder.newCache(options, 2, 320);
        CompressedCache cache = compressed(options, null, 2)) {
      float[] expected = Goldens.take(decoder.prefill(prompts, plain, 300));
      float[] found = Goldens.take(decoder.prefill(prompts, cache, chunk));
      assertEquals(0, Goldens.difference(expected, found), TOLERANCE);
    }
  }

  /** Several tokens at once behind single ones, when slots are not in the order of the text. */
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4, 5})
  void tokensMayComeOneByOneAndTogether(int number) {
    CacheOptions options = CacheOptions.of(PLANS.get(number));
    int[] text = text(PROMPT + 90, 14);
    PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, PROMPT));
    try (NDManager manager = decoder.newManager();
        KvCache plain = decoder.newCache(options, 1, 64);
        CompressedCache cache = compressed(options, null, 1)) {
      decoder.prefill(prompts, plain, 64).close();
      decoder.prefill(prompts, cache, 64).close();
      int start = PROMPT;
      for (int tokens : new int[] {1, 1, 1, 4, 1, 1, 70, 1, 1, 2, 1}) {
        long[] part = Arrays.stream(text, start, start + tokens).asLongStream().toArray();
        NDArray ids = manager.create(part, new Shape(1, tokens));
        float[] expected = Goldens.take(decoder.forward(ids, plain));
        float[] found = Goldens.take(decoder.head(decoder.hidden(ids, cache)));
        assertEquals(0, Goldens.difference(expected, found), TOLERANCE, "token " + start);
        assertKept(PLANS.get(number), cache);
        start += tokens;
      }
    }
  }

  private static Stream<Arguments> plansAndAmplePolicies() {
    TokenAmount amount = TokenAmount.tokens(100);
    return PLANS.stream()
        .flatMap(
            plan ->
                Stream.of(
                        new StreamingLlm(amount, 3),
                        new H2o(amount, H2o.DEFAULT_RECENT, false),
                        new SnapKv(amount, 4, 5),
                        new PyramidKv(amount, 4, 3, 4))
                    .map(policy -> Arguments.of(plan, policy)));
  }

  @ParameterizedTest
  @MethodSource("plansAndAmplePolicies")
  void anAmpleBudgetChangesNothing(Plan plan, CachePolicy policy) {
    assertGeneratesAsWhole(plan, policy, 7, List.of(text(PROMPT, 5), text(11, 6)));
  }

  private static void assertGeneratesAsWhole(
      Plan plan, CachePolicy policy, int chunk, List<int[]> rows) {
    CacheOptions options = CacheOptions.of(plan);
    PromptBatch prompts = new PromptBatch(rows);
    int batch = rows.size();
    try (NDManager manager = decoder.newManager();
        KvCache plain = decoder.newCache(options, batch, 64);
        CompressedCache cache = compressed(options, policy, batch)) {
      float[] expected = Goldens.take(decoder.prefill(prompts, plain, 64));
      float[] found = Goldens.take(decoder.prefill(prompts, cache, chunk));
      for (int step = 0; step <= NEW_TOKENS; step++) {
        assertEquals(0, Goldens.difference(expected, found), TOLERANCE, "step " + step);
        assertKept(plan, cache, batch);
        NDArray ids = manager.create(greedy(expected, batch));
        expected = Goldens.take(decoder.decode(ids, plain));
        found = Goldens.take(decoder.decode(ids, cache));
      }
    }
  }

  private static CompressedCache compressed(CacheOptions options, CachePolicy policy, int batch) {
    return assertInstanceOf(
        CompressedCache.class, decoder.newCache(options, policy, batch, PROMPT));
  }

  private static void assertKept(Plan plan, CompressedCache cache, int batch) {
    assertKept(plan, cache);
    if (cache.policy() instanceof WholeText) {
      assertEquals(batch * bytes(plan, cache.length()), cache.bytes());
    }
  }

  /** Windowed owners keep first and last tokens, the others everything; bytes are of those. */
  private static void assertKept(Plan plan, CompressedCache cache) {
    int length = cache.length();
    int kept = Math.min(length, plan.windows().first() + WINDOW);
    for (int owner : plan.map().owners()) {
      boolean windowed = windowed(plan, owner);
      assertEquals(windowed ? kept : length, cache.kept(owner), "layer " + owner);
      for (int[] places : windowed ? cache.places(owner)[0] : new int[0][]) {
        int[] sinks = IntStream.range(0, plan.windows().first()).toArray();
        int[] last = IntStream.range(length - WINDOW, length).toArray();
        assertArrayEquals(sinks, Arrays.copyOf(places, plan.windows().first()));
        assertArrayEquals(last, Arrays.copyOfRange(places, plan.windows().first(), places.length));
      }
    }
    assertEquals(cache.predictedBytes(), cache.bytes());
  }

  /** Keys, values and places of the slots, which a text of up to 64 tokens has in one block. */
  private static long bytes(Plan plan, int length) {
    assertTrue(length <= 64);
    AttentionSpec attention = decoder.spec().blocks().get(0).attention();
    long slot = attention.keyValueHeads() * (2L * attention.headSize() + 1) * Float.BYTES;
    return plan.map().owners().stream()
        .mapToLong(owner -> windowed(plan, owner) ? plan.windows().first() + WINDOW : 64)
        .map(slots -> slots * slot)
        .sum();
  }

  private static boolean windowed(Plan plan, int owner) {
    return IntStream.range(0, 8)
        .filter(layer -> plan.map().source(layer) == owner)
        .allMatch(plan.windowedLayers()::contains);
  }

  @Test
  void theModelCountsWhatIsKept() {
    Plan plan = PLANS.get(4);
    long token =
        decoder.spec().kvUse(Plan.of(SharingMap.of(0, 0, 0, 0, 0, 0, 0, 0))).bytesPerToken(2);
    assertEquals(4 * token, decoder.spec().kvUse(plan).bytes(1, 2));
    assertEquals(4 * 9 * token, decoder.spec().kvUse(plan).bytes(9, 2));
    assertEquals((9 + 3 * 1000) * token, decoder.spec().kvUse(plan).bytes(1000, 2));
    assertEquals(3 * token, decoder.spec().kvUse(plan).bytesPerToken(2));
    Plan huge = Plan.of(IDENTITY).withWindows(Plan.Windows.of(ALL, 4, Integer.MAX_VALUE));
    assertEquals(8 * 50 * token, decoder.spec().kvUse(huge).bytes(50, 2));
  }

  @Test
  void whatCannotDropTokensHasTheWholeCache() {
    Plan fullReader = plan(SharingMap.of(0, 0, 0, 0, 0, 0, 0, 0), SINKS, List.of(1, 2, 3));
    Plan upward =
        plan(SharingMap.of(0, 7, 2, 3, 4, 5, 6, 7), SINKS, ALL)
            .withUpward(new UpwardReading.Sequential());
    for (Plan plan : List.of(Plan.of(SHARED), fullReader, upward)) {
      try (DecodingCache cache = decoder.newCache(CacheOptions.of(plan), null, 1, 8)) {
        assertInstanceOf(KvCache.class, cache);
        long token = decoder.spec().kvUse(Plan.of(plan.map())).bytesPerToken(4);
        assertEquals(100 * token, decoder.spec().kvUse(plan).bytes(100, 4));
      }
    }
  }

  private static Stream<Arguments> plansAndIntegers() {
    return PLANS.stream()
        .flatMap(
            plan -> Arrays.stream(KeyValueFormat.values()).skip(1).map(f -> Arguments.of(plan, f)));
  }

  /** Scales of channels need neighbouring tokens, so that these keep all of them. */
  @ParameterizedTest
  @MethodSource("plansAndIntegers")
  void integersGoWithWindows(Plan plan, KeyValueFormat format) {
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 7), text(9, 8));
    CacheOptions options = CacheOptions.of(plan);
    try (NDManager manager = decoder.newManager();
        KvCache plain = decoder.newCache(options, 2, 64);
        CompressedCache cache = decoder.newCache(options, new IntegerKv(format), 2)) {
      float[] expected = Goldens.take(decoder.prefill(prompts, plain, 64));
      float[] found = Goldens.take(decoder.prefill(prompts, cache, 11));
      for (int step = 0; step < NEW_TOKENS; step++) {
        NDArray ids = manager.create(new long[] {step + 5, step + 90});
        expected = Goldens.take(decoder.decode(ids, plain));
        found = Goldens.take(decoder.decode(ids, cache));
        assertEquals(cache.predictedBytes(), cache.bytes());
      }
      double largest = Goldens.difference(new float[expected.length], expected);
      double part = format.bits() == 8 ? 0.15 : 1;
      assertEquals(0, Goldens.difference(expected, found), part * largest, "of " + largest);
      boolean drops = !format.byChannel();
      for (int owner : plan.map().owners()) {
        int kept =
            drops && windowed(plan, owner) ? plan.windows().first() + WINDOW : PROMPT + NEW_TOKENS;
        assertEquals(kept, cache.kept(owner));
      }
    }
  }

  /** A budget below the window leaves the choice to the policy; the window hides the rest of it. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aBudgetBelowTheWindowIsKept(boolean integers) {
    Plan plan = PLANS.get(0);
    CachePolicy h2o = new H2o(TokenAmount.tokens(WINDOW), H2o.DEFAULT_RECENT, false);
    CachePolicy policy =
        integers ? new IntegerKv.WithEviction(h2o, KeyValueFormat.INT8_PER_TOKEN) : h2o;
    int[] text = text(PROMPT + NEW_TOKENS, 9);
    try (NDManager manager = decoder.newManager();
        CompressedCache cache = decoder.newCache(CacheOptions.of(plan), policy, 1)) {
      decoder.prefill(PromptBatch.of(Arrays.copyOf(text, PROMPT)), cache, 7).close();
      for (int token = PROMPT; token < text.length; token++) {
        NDArray ids = manager.create(new long[] {text[token]});
        float[] logits = Goldens.take(decoder.decode(ids, cache));
        assertTrue(Double.isFinite(Goldens.difference(logits, new float[logits.length])));
        for (int layer = 0; layer < 8; layer++) {
          assertEquals(WINDOW, cache.kept(layer));
          for (int[] places : cache.places(layer)[0]) {
            for (int place : places) {
              assertTrue(place < SINKS || place >= token - WINDOW, place + " at " + token);
            }
          }
        }
      }
    }
  }

  /**
   * When all layers read the lowest one, keys and values depend on tokens alone, and so the last
   * logits are those of the kept tokens as a text of their own, whatever windows readers have.
   */
  @ParameterizedTest
  @ValueSource(ints = {7, 8})
  void streamingKeepsPositionsInsideItsCache(int windowed) {
    int budget = 16;
    SharingMap map = SharingMap.of(0, 0, 0, 0, 0, 0, 0, 0);
    CacheOptions options = CacheOptions.of(plan(map, SINKS, ALL.subList(8 - windowed, 8)));
    int[] text = text(6000, 10);
    try (NDManager manager = decoder.newManager();
        CompressedCache cache =
            decoder.newCache(options, new StreamingLlm(TokenAmount.tokens(budget), SINKS), 1)) {
      int length = text.length - NEW_TOKENS;
      PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, length));
      float[] found = Goldens.take(decoder.prefill(prompts, cache, 512));
      assertEquals(windowed == 8 ? SINKS + WINDOW : budget, cache.kept(0));
      for (int token = length; token < text.length; token++) {
        int[] kept = Arrays.copyOf(text, budget);
        System.arraycopy(text, token - budget + SINKS, kept, SINKS, budget - SINKS);
        try (KvCache plain = decoder.newCache(options, 1, budget)) {
          float[] expected = Goldens.take(decoder.prefill(PromptBatch.of(kept), plain, budget));
          assertEquals(0, Goldens.difference(expected, found), 1e-3, "token " + token);
        }
        found = Goldens.take(decoder.decode(manager.create(new long[] {text[token]}), cache));
      }
      assertTrue(cache.origin() > 0, "columns begin at 0");
    }
  }

  private static Stream<Path> architectures() {
    return Stream.concat(Goldens.architectures().stream(), Goldens.variants().stream());
  }

  /** Windows of the model, soft caps, learned positions, experts, rotary kinds and so on. */
  @ParameterizedTest
  @MethodSource("architectures")
  void everyFamilyGeneratesAsWithTheWholeCache(Path model) {
    int[] text = Arrays.stream(text(36, 11)).map(id -> id % 128).toArray();
    try (Decoder family = Goldens.load(model);
        NDManager manager = family.newManager()) {
      List<Integer> layers = IntStream.range(0, family.spec().layers()).boxed().toList();
      SharingMap map = SharingMap.identity(layers.size());
      for (List<Integer> windowed : List.of(layers, layers.subList(0, 1))) {
        CacheOptions options = CacheOptions.of(plan(map, SINKS, windowed));
        try (KvCache plain = family.newCache(options, 2, 64);
            DecodingCache cache = family.newCache(options, null, 2, 64)) {
          // Where LongRoPE has other frequencies for long texts, keys are computed anew from
          // tokens.
          boolean anew = model.getFileName().toString().matches("phi3_(crossing|partial|long)");
          assertEquals(!anew, cache instanceof CompressedCache);
          PromptBatch prompts = PromptBatch.of(Arrays.copyOf(text, 30), Arrays.copyOf(text, 12));
          assertSame(family.prefill(prompts, plain, 64), family.prefill(prompts, cache, 7));
          for (int token = 30; token < text.length; token++) {
            NDArray ids = manager.create(new long[] {text[token], text[token - 1]});
            assertSame(family.decode(ids, plain), family.decode(ids, cache));
          }
        }
      }
    }
  }

  private static void assertSame(NDArray expected, NDArray found) {
    assertEquals(0, Goldens.difference(Goldens.take(expected), Goldens.take(found)), TOLERANCE);
  }

  private static long[] greedy(float[] logits, int batch) {
    int vocabulary = logits.length / batch;
    return IntStream.range(0, batch)
        .mapToLong(
            row ->
                IntStream.range(0, vocabulary)
                    .boxed()
                    .max(
                        (a, b) ->
                            Float.compare(
                                logits[row * vocabulary + a], logits[row * vocabulary + b]))
                    .orElseThrow())
        .toArray();
  }

  private static int[] text(int tokens, int seed) {
    return new Random(seed).ints(tokens, 3, 256).toArray();
  }
}
