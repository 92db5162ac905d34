package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.IntegerKv;
import dev.kvshare.apply.cache.PyramidKv;
import dev.kvshare.apply.cache.SnapKv;
import dev.kvshare.apply.cache.StreamingLlm;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.PolicyException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Exact prefill against caches that are put together by hand: keys and values of the prompt from
 * the unshared model, in a cache under the plan.
 */
class ExactPrefillTest {
  private static final double TOLERANCE = 2e-4;
  private static final int PROMPT = 40;
  private static final int NEW_TOKENS = 12;
  private static final SharingMap IDENTITY = SharingMap.identity(8);
  private static final SharingMap SHARED = SharingMap.of(0, 1, 1, 0, 4, 4, 1, 7);
  private static final SharingMap TOP = SharingMap.of(0, 0, 0, 3, 3, 3, 3, 3);

  private static final List<Plan> PLANS =
      List.of(
          Plan.identity(8),
          Plan.of(SHARED),
          Plan.of(TOP),
          windowed(IDENTITY, 3, 1, 4, 5),
          windowed(IDENTITY, 0, 0, 1, 2, 3, 4, 5, 6, 7),
          windowed(SHARED, 3, 1, 2, 3, 4, 6),
          windowed(TOP, 2, 0, 1, 2));

  private static Decoder decoder;
  private static PtNDManager manager;
  private static ScriptModule script;

  @BeforeAll
  static void load() {
    decoder = Goldens.load(Goldens.TINY_LLAMA);
    manager = (PtNDManager) decoder.newManager();
    script = new ScriptModule(manager, ExactPrefillTest.class);
  }

  @AfterAll
  static void close() {
    script.close();
    manager.close();
    decoder.close();
  }

  private static Plan windowed(SharingMap map, int first, Integer... layers) {
    return Plan.of(map).withWindows(new Plan.Windows(List.of(layers), first, 6));
  }

  private static Stream<Arguments> plansAndChunks() {
    return PLANS.stream().flatMap(plan -> Stream.of(7, 64).map(chunk -> Arguments.of(plan, chunk)));
  }

  @ParameterizedTest
  @MethodSource("plansAndChunks")
  void decodesBehindTheUnsharedKeysAndValuesOfThePrompt(Plan plan, int chunk) {
    assertGenerates(decoder, plan, null, null, chunk, PromptBatch.of(text(PROMPT, 1)));
  }

  @ParameterizedTest
  @MethodSource("plansAndChunks")
  void unequalPromptsGenerateAsEachAlone(Plan plan, int chunk) {
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 2), text(5, 3), text(17, 4));
    assertGenerates(decoder, plan, null, null, chunk, prompts);
    CacheOptions options = CacheOptions.of(plan.withPrefill(Prefill.EXACT));
    try (NDManager manager = decoder.newManager();
        DecodingCache together = decoder.newCache(options, null, 3, 64)) {
      decoder.prefill(prompts, together, chunk).close();
      float[] all = step(decoder, together, manager, 77);
      for (int row = 0; row < 3; row++) {
        try (DecodingCache alone = decoder.newCache(options, null, 1, 64)) {
          decoder.prefill(PromptBatch.of(prompts.rows().get(row)), alone, 64).close();
          float[] one = step(decoder, alone, manager, 77);
          float[] found = Arrays.copyOfRange(all, row * one.length, (row + 1) * one.length);
          assertEquals(0, Goldens.difference(one, found), TOLERANCE, "row " + row);
        }
      }
    }
  }

  private static Stream<Path> models() {
    return Stream.concat(Goldens.architectures().stream(), Goldens.variants().stream());
  }

  /** Windows of the model, soft caps, learned positions, experts, keys that are made anew. */
  @ParameterizedTest
  @MethodSource("models")
  void everyFamilyDecodesBehindItsUnsharedPrompt(Path model) {
    try (Decoder family = Goldens.load(model)) {
      int layers = family.spec().layers();
      int[] sources = IntStream.range(0, layers).toArray();
      for (int layer = layers - 1; layer > 1; layer -= 2) {
        sources[layer] = family.spec().mayShare(layer, layer - 1) ? layer - 1 : layer;
      }
      Plan shared = Plan.of(SharingMap.of(sources));
      Plan.Windows windows = new Plan.Windows(List.of(0, layers - 1), 3, 6);
      for (Plan plan :
          List.of(
              shared, shared.withWindows(windows), Plan.identity(layers).withWindows(windows))) {
        int[] row = Arrays.stream(text(30, 5)).map(id -> id % 128).toArray();
        PromptBatch prompts = PromptBatch.of(row, Arrays.copyOf(row, 12));
        assertGenerates(family, plan, null, null, 7, prompts);
      }
    }
  }

  private static Stream<Arguments> plansAndReductions() {
    List<CachePolicy> policies =
        List.of(
            new CachePolicy.WholeText(),
            new StreamingLlm(TokenAmount.tokens(16), 3),
            new IntegerKv(KeyValueFormat.INT8_PER_TOKEN),
            new IntegerKv(KeyValueFormat.INT8_PER_CHANNEL),
            new IntegerKv(KeyValueFormat.INT4_PER_CHANNEL));
    return PLANS.stream()
        .flatMap(plan -> policies.stream().map(policy -> Arguments.of(plan, policy)));
  }

  /** One pass of the unshared model serves all plans; copies go on without the other. */
  @ParameterizedTest
  @MethodSource("plansAndReductions")
  void aReducedCacheIsThatOfAnExactPrefill(Plan plan, CachePolicy policy) {
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 13), text(9, 14));
    assertReduces(decoder, plan, policy, prompts);
    assertReduces(decoder, plan, null, PromptBatch.of(text(PROMPT, 15), text(PROMPT, 16)));
  }

  @ParameterizedTest
  @MethodSource("models")
  void theCacheOfEveryFamilyReduces(Path model) {
    try (Decoder family = Goldens.load(model)) {
      int layers = family.spec().layers();
      Plan windows = Plan.identity(layers).withWindows(new Plan.Windows(List.of(0), 3, 6));
      int[] row = Arrays.stream(text(30, 5)).map(id -> id % 128).toArray();
      PromptBatch prompts = PromptBatch.of(row, Arrays.copyOf(row, 12));
      assertReduces(family, windows, null, prompts);
      assertReduces(family, Plan.identity(layers), null, prompts);
    }
  }

  private static void assertReduces(
      Decoder model, Plan plan, CachePolicy policy, PromptBatch prompts) {
    CacheOptions exact = CacheOptions.of(plan.withPrefill(Prefill.EXACT));
    try (NDManager manager = model.newManager();
        KvCache unshared = model.newCache(SharingMap.identity(plan.map().layers()), 2, 64);
        DecodingCache read = model.newCache(exact, policy, 2, 64);
        DecodingCache reduced = model.newCache(exact, policy, 2, 64)) {
      model.prefill(prompts, unshared, 64).close();
      model.prefill(prompts, read, 64).close();
      model.reduce(unshared, reduced);
      assertEquals(read.bytes(), reduced.bytes());
      assertEquals(read.length(), reduced.length());
      try (DecodingCache copy = reduced.copy(1, 0, 1)) {
        for (int token = 3; token < 11; token++) {
          float[] expected = step(model, read, manager, token);
          float[] found = step(model, reduced, manager, token);
          assertEquals(0, Goldens.difference(expected, found), TOLERANCE, plan + ", " + token);
          float[] rows = step(model, copy, manager, token);
          int vocabulary = expected.length / 2;
          for (int row = 0; row < 3; row++) {
            int from = row == 1 ? 0 : vocabulary;
            assertEquals(
                0,
                Goldens.difference(
                    Arrays.copyOfRange(expected, from, from + vocabulary),
                    Arrays.copyOfRange(rows, row * vocabulary, (row + 1) * vocabulary)),
                TOLERANCE,
                "copied row " + row);
          }
        }
        assertEquals(read.length(), copy.length());
      }
    }
  }

  @Test
  void onlyPromptsOfTheUnsharedModelAreReduced() {
    CacheOptions exact = CacheOptions.of(Plan.of(SHARED).withPrefill(Prefill.EXACT));
    H2o h2o = new H2o(TokenAmount.tokens(16), H2o.DEFAULT_RECENT, false);
    try (NDManager manager = decoder.newManager();
        KvCache unshared = decoder.newCache(IDENTITY, 1, 64);
        KvCache reduced = decoder.newCache(exact, 1, 64);
        CompressedCache observing = decoder.newCache(exact, h2o, 1);
        KvCache under = decoder.newCache(SHARED, 1, 64)) {
      assertRefused("0 of 0 positions read as prompts", unshared, reduced);
      decoder.prefill(PromptBatch.of(text(PROMPT, 1)), unshared, 64).close();
      assertRefused("another prefill", unshared, under);
      assertRefused("h2o keeps tokens by the attention", unshared, observing);
      decoder.reduce(unshared, reduced);
      assertRefused("40 positions", unshared, reduced);
      decoder.prefill(PromptBatch.of(text(PROMPT, 1)), under, 64).close();
      try (KvCache empty = decoder.newCache(exact, 1, 64)) {
        assertRefused("under 8 layers, 4 shared", under, empty);
        step(decoder, unshared, manager, 5);
        assertRefused("40 of 41 positions", unshared, empty);
      }
    }
  }

  private static void assertRefused(String reason, KvCache unshared, DecodingCache cache) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> decoder.reduce(unshared, cache))
            .getMessage();
    assertTrue(message.contains(reason), message);
  }

  /** Refitted weights are for what follows the prompt. */
  @Test
  void thePromptKeepsTheCheckpointsWeights() {
    String name = "model.layers.2.self_attn.o_proj.weight";
    try (NDManager manager = decoder.newManager();
        WeightOverrides overrides =
            decoder.newOverrides(Map.of(name, manager.randomNormal(new Shape(64, 64)).mul(0.1)))) {
      for (Plan plan : PLANS) {
        assertGenerates(decoder, plan, overrides, null, 64, PromptBatch.of(text(PROMPT, 6)));
      }
    }
  }

  /** Generates under the plan and, by hand, behind the prompt's keys and values of the unshared. */
  private static void assertGenerates(
      Decoder model,
      Plan plan,
      WeightOverrides overrides,
      CachePolicy policy,
      int chunk,
      PromptBatch prompts) {
    int batch = prompts.size();
    int longest = prompts.longest();
    CacheOptions underPlan = new CacheOptions(plan, overrides);
    CacheOptions exact = new CacheOptions(plan.withPrefill(Prefill.EXACT), overrides);
    try (NDManager manager = model.newManager();
        KvCache byHand = model.newCache(underPlan, batch, 64);
        KvCache whole = model.newCache(exact, batch, 64);
        DecodingCache reduced = model.newCache(exact, policy, batch, 64)) {
      float[] expected = unsharedInto(model, byHand, prompts, new long[batch][0]);
      float[] found = Goldens.take(model.prefill(prompts, whole, chunk));
      assertEquals(0, Goldens.difference(expected, found), TOLERANCE, "whole, prompt");
      found = Goldens.take(model.prefill(prompts, reduced, chunk));
      assertEquals(0, Goldens.difference(expected, found), TOLERANCE, "reduced, prompt");
      long[][] text = new long[batch][0];
      int trained = trainedPositions(model);
      for (int token = 0; token < NEW_TOKENS; token++) {
        String where = plan + ", token " + token;
        long next = 3 + 7L * token;
        for (int row = 0; row < batch; row++) {
          text[row] = Arrays.copyOf(text[row], token + 1);
          text[row][token] = next;
        }
        if (longest + token == trained) {
          // All keys are of another kind from here on.
          unsharedInto(model, byHand, prompts, text);
          long[] flat = Arrays.stream(text).flatMapToLong(Arrays::stream).toArray();
          NDArray ids = manager.create(flat, new Shape(batch, token + 1));
          NDArray logits = model.forward(ids, byHand);
          expected = Goldens.take(logits.get(":, -1"));
        } else {
          expected = step(model, byHand, manager, next);
        }
        assertEquals(
            0, Goldens.difference(expected, step(model, whole, manager, next)), TOLERANCE, where);
        assertEquals(
            0, Goldens.difference(expected, step(model, reduced, manager, next)), TOLERANCE, where);
      }
      if (reduced instanceof CompressedCache compressed) {
        assertEquals(compressed.predictedBytes(), compressed.bytes());
      }
    }
  }

  /** Positions after which keys are made anew, -1 for a model that does not. */
  private static int trainedPositions(Decoder model) {
    return model.spec().blocks().stream()
        .map(block -> block.attention().rotary())
        .filter(rotary -> rotary != null && rotary.hasTwoRegimes())
        .mapToInt(rotary -> ((RotarySpec.LongRope) rotary.scaling()).trainedPositions())
        .findFirst()
        .orElse(-1);
  }

  /**
   * Leaves the prompt in a cache under a plan, with the keys and values of the unshared model in
   * the layers that keep some; gives the unshared logits of its end.
   *
   * @param text tokens behind the prompt that settle of which kind keys are
   */
  private static float[] unsharedInto(
      Decoder model, KvCache cache, PromptBatch prompts, long[][] text) {
    int longest = prompts.longest();
    SharingMap identity = SharingMap.identity(model.spec().layers());
    cache.truncate(0);
    model.prefill(prompts, cache, 64).close();
    try (NDManager manager = model.newManager();
        KvCache unshared = model.newCache(identity, cache.batch(), 64)) {
      float[] logits = Goldens.take(model.prefill(prompts, unshared, 64));
      for (int token = 0; token < text[0].length; token++) {
        step(model, unshared, manager, text[0][token]);
      }
      unshared.truncate(longest);
      String prompt = ":, :, 0:" + longest;
      for (int owner : cache.map().owners()) {
        PtNDArray[] targets = cache.keysAndValues(owner);
        script.assign((PtNDArray) targets[0].get(prompt), (PtNDArray) unshared.keys(owner));
        script.assign((PtNDArray) targets[1].get(prompt), (PtNDArray) unshared.values(owner));
      }
      return logits;
    }
  }

  private static float[] step(Decoder model, DecodingCache cache, NDManager manager, long token) {
    long[] ids = new long[cache.batch()];
    Arrays.fill(ids, token);
    return Goldens.take(model.decode(manager.create(ids), cache));
  }

  private static List<CachePolicy> policies(int budget) {
    TokenAmount amount = TokenAmount.tokens(budget);
    return List.of(
        new H2o(amount, H2o.DEFAULT_RECENT, false),
        new SnapKv(amount, 4, 5),
        new PyramidKv(amount, 4, 3, 4),
        new StreamingLlm(amount, 3));
  }

  private static Stream<Arguments> plansAndPolicies() {
    return PLANS.stream()
        .flatMap(plan -> IntStream.range(0, 4).mapToObj(policy -> Arguments.of(plan, policy)));
  }

  @ParameterizedTest
  @MethodSource("plansAndPolicies")
  void anAmpleBudgetChangesNothing(Plan plan, int policy) {
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 7), text(9, 8));
    assertGenerates(decoder, plan, null, policies(100).get(policy), 7, prompts);
  }

  @ParameterizedTest
  @MethodSource("plansAndPolicies")
  void budgetsAndIntegersHoldBehindTheUnsharedPrompt(Plan plan, int policy) {
    CacheOptions exact = CacheOptions.of(plan.withPrefill(Prefill.EXACT));
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 9), text(9, 10));
    CachePolicy evicting = policies(16).get(policy);
    float[] unshared;
    try (KvCache cache = decoder.newCache(IDENTITY, 2, 64)) {
      unshared = Goldens.take(decoder.prefill(prompts, cache, 64));
    }
    for (CachePolicy used :
        List.of(
            evicting,
            new IntegerKv.WithEviction(evicting, KeyValueFormat.INT8_PER_TOKEN),
            new IntegerKv(KeyValueFormat.INT8_PER_TOKEN),
            new IntegerKv(KeyValueFormat.INT8_PER_CHANNEL),
            new IntegerKv(KeyValueFormat.INT4_PER_TOKEN),
            new IntegerKv(KeyValueFormat.INT4_PER_CHANNEL))) {
      try (NDManager manager = decoder.newManager();
          CompressedCache found = decoder.newCache(exact, used, 2);
          CompressedCache under = decoder.newCache(CacheOptions.of(plan), used, 2)) {
        float[] logits = Goldens.take(decoder.prefill(prompts, found, 7));
        decoder.prefill(prompts, under, PROMPT).close();
        assertEquals(0, Goldens.difference(unshared, logits), TOLERANCE, used.description());
        for (int step = 0; step < NEW_TOKENS; step++) {
          assertEquals(found.predictedBytes(), found.bytes(), used.description());
          assertEquals(under.bytes(), found.bytes(), used.description());
          for (int owner : plan.map().owners()) {
            assertEquals(under.kept(owner), found.kept(owner), used.description());
          }
          logits = step(decoder, found, manager, 50 + step);
          assertTrue(Double.isFinite(Goldens.difference(logits, new float[logits.length])));
          step(decoder, under, manager, 50 + step);
        }
      }
    }
  }

  /** Where no layer is reduced by the plan, the methods see the attention that they always see. */
  @Test
  void theUnsharedPlanEvictsAsWithoutExactPrefill() {
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 11), text(13, 12));
    for (CachePolicy policy : policies(16).subList(0, 3)) {
      try (CompressedCache found =
              decoder.newCache(
                  CacheOptions.of(Plan.identity(8).withPrefill(Prefill.EXACT)), policy, 2);
          CompressedCache under = decoder.newCache(CacheOptions.of(IDENTITY), policy, 2)) {
        decoder.prefill(prompts, found, 7).close();
        decoder.prefill(prompts, under, 7).close();
        for (int layer = 0; layer < 8; layer++) {
          assertArrayEquals(under.places(layer), found.places(layer), policy.name());
        }
      }
    }
  }

  private static Stream<Plan> plans() {
    return PLANS.stream();
  }

  /** Keys and values of one layer at most stand beside what is kept. */
  @ParameterizedTest
  @MethodSource("plans")
  void oneLayerAtATimeIsWhole(Plan plan) {
    int tokens = 512;
    long layer = 2L * 2 * tokens * 16 * Float.BYTES; // keys and values, heads, tokens, head size
    long places = 2L * tokens * Integer.BYTES;
    CacheOptions exact = CacheOptions.of(plan.withPrefill(Prefill.EXACT));
    try (DecodingCache cache = decoder.newCache(exact, null, 1, tokens)) {
      decoder.prefill(PromptBatch.of(text(tokens, 13)), cache, 100).close();

      long slot = cache instanceof CompressedCache ? layer + places : layer;
      long expected = 0;
      for (int owner : plan.map().owners()) {
        boolean ends = cache instanceof CompressedCache && plan.restricts(owner);
        expected += ends ? slot / tokens * plan.windows().tokens() : slot;
      }
      assertEquals(expected, cache.bytes());
      assertTrue(
          cache.mostBytes() <= expected + slot,
          cache.mostBytes() + " bytes, kept " + expected + ", a layer " + slot);
      if (plan.reducedLayers() > 0 && !(cache instanceof CompressedCache)) {
        assertEquals(expected + layer, cache.mostBytes());
      }
    }
  }

  @Test
  void costsWhatTheUnsharedPromptCosts() {
    for (Plan plan : PLANS) {
      CacheOptions exact = CacheOptions.of(plan.withPrefill(Prefill.EXACT));
      long before = decoder.layerTokens();
      try (DecodingCache cache = decoder.newCache(exact, null, 1, 64)) {
        decoder.prefill(PromptBatch.of(text(PROMPT, 14)), cache, 7).close();
      }
      assertEquals(7L * PROMPT + 1, decoder.layerTokens() - before);
    }
  }

  @Test
  void readsEachLayerOnceWhereOneIsInMemory() {
    CacheOptions exact = CacheOptions.of(Plan.of(SHARED).withPrefill(Prefill.EXACT));
    PromptBatch prompts = PromptBatch.of(text(PROMPT, 15));
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA);
        Decoder offloaded =
            Decoder.load(checkpoint, Goldens.OPTIONS.withResidency(WeightResidency.ONE_LAYER));
        NDManager manager = offloaded.newManager();
        KvCache expected = decoder.newCache(exact, 1, 64);
        KvCache found = offloaded.newCache(exact, 1, 64)) {
      float[] logits = Goldens.take(decoder.prefill(prompts, expected, 7));
      assertArrayEquals(logits, Goldens.take(offloaded.prefill(prompts, found, 7)));
      assertEquals(8 + 1, offloaded.layerReads());
      assertArrayEquals(step(decoder, expected, manager, 9), step(offloaded, found, manager, 9));
    }
  }

  @Test
  void whatMeansNothingIsRefused() {
    Plan above = Plan.of(SharingMap.of(0, 7, 2, 3, 4, 5, 6, 7));
    assertRefused(
        above.withUpward(new UpwardReading.Sequential()), "for layers that read from below");
    assertRefused(new Plan(IDENTITY, null, Prefill.PLAN, null, true), "own token hidden");
    int most = decoder.spec().maxPositions();
    CacheOptions exact = CacheOptions.of(Plan.identity(8).withPrefill(Prefill.EXACT));
    try (CompressedCache cache = decoder.newCache(exact, policies(16).get(3), 1)) {
      PolicyException.Unsupported refused =
          assertThrows(
              PolicyException.Unsupported.class,
              () -> decoder.prefill(PromptBatch.of(text(most + 1, 16)), cache, 512));
      assertTrue(refused.getMessage().contains("made for " + most), refused.getMessage());
    }
  }

  private static void assertRefused(Plan plan, String reason) {
    PolicyException.Unsupported refused =
        assertThrows(
            PolicyException.Unsupported.class,
            () -> decoder.newCache(CacheOptions.of(plan.withPrefill(Prefill.EXACT)), 1, 1));
    assertTrue(refused.getMessage().contains(reason), refused.getMessage());
  }

  private static int[] text(int tokens, int seed) {
    return new Random(seed).ints(tokens, 3, 256).toArray();
  }
}
