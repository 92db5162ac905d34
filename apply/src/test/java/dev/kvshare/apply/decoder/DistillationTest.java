package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Training of weights towards the unshared model. */
class DistillationTest {
  private static final Set<WeightRole> ROLES =
      Set.of(WeightRole.QUERY_KEY_VALUE, WeightRole.OUTPUT, WeightRole.DOWN);
  private static final int WINDOWS = 4;
  private static final int TOKENS = 12;

  /**
   * Along the gradient of each matrix the divergence, computed by the decoder, changes as the
   * gradient says; the products of the training may be bfloat16. Where experts are chosen, a small
   * change may choose others, which no gradient sees.
   */
  @ParameterizedTest
  @ValueSource(strings = {"llama", "gemma2", "olmo2", "gpt_neox", "gpt2", "opt", "qwen3_moe"})
  void theGradientIsThatOfTheDecodersDivergence(String family) {
    try (Decoder decoder = Goldens.load(Goldens.architecture(family))) {
      theGradientIsThatOfTheDecodersDivergence(decoder, Plan.of(map(decoder)));
    }
  }

  /** The same where layers keep the first and last tokens only. */
  @ParameterizedTest
  @ValueSource(ints = {0, 2})
  void theGradientBehindWindowsIsThatOfTheDecodersDivergence(int sinks) {
    try (Decoder decoder = Goldens.load(Goldens.architecture("llama"))) {
      Plan windows =
          Plan.identity(decoder.spec().layers())
              .withWindowed(1, 3, sinks)
              .withWindowed(2, 3, sinks);
      theGradientIsThatOfTheDecodersDivergence(decoder, windows);
    }
  }

  private static void theGradientIsThatOfTheDecodersDivergence(Decoder decoder, Plan plan) {
    try (NDManager manager = decoder.newManager();
        WeightOverrides none = decoder.newOverrides(Map.of());
        Distillation distillation = decoder.newDistillation(plan, none, ROLES)) {
      NDArray ids = ids(decoder, manager);
      double sum = distillation.add(ids, ids.size());
      assertEquals(
          divergence(decoder, plan, Map.of(), ids), sum / ids.size(), 0.05 * sum / ids.size());
      boolean routed =
          decoder.spec().blocks().stream().anyMatch(block -> block.feedForward().experts() != null);
      double tolerance = routed ? 0.4 : 0.1;
      Map<String, NDArray> weights = distillation.weights(manager);
      distillation
          .gradients(manager)
          .forEach(
              (name, gradient) -> {
                double length = gradient.norm().getFloat();
                NDArray direction = gradient.div(length + 1e-30);
                double reach = 0.003 * (weights.get(name).norm().getFloat() + 0.1);
                double up = moved(decoder, plan, weights, name, direction.mul(reach), ids);
                double down = moved(decoder, plan, weights, name, direction.mul(-reach), ids);
                double slope = (up - down) / (2 * reach);
                assertEquals(slope, length, tolerance * length + 1e-3 * sum / ids.size(), name);
              });
    }
  }

  @Test
  void theDivergenceFalls() {
    SharingMap map = SharingMap.of(0, 1, 2, 3, 4, 3, 1, 4);
    try (Decoder decoder = Goldens.load(Goldens.TINY_LLAMA);
        NDManager manager = decoder.newManager();
        WeightOverrides none = decoder.newOverrides(Map.of());
        Distillation distillation = decoder.newDistillation(Plan.of(map), none, ROLES)) {
      NDArray ids = ids(decoder, manager);
      double before = distillation.add(ids, ids.size()) / ids.size();
      for (int step = 0; step < 15; step++) {
        distillation.step(1e-3);
        distillation.add(ids, ids.size());
      }
      double after = divergence(decoder, Plan.of(map), distillation.weights(manager), ids);
      assertTrue(after < 0.5 * before, after + " of " + before);
    }
  }

  /** What a layer reads of one below the first that shares comes from the unshared run. */
  @Test
  void layersWithoutKeysHaveOnlyTheirQueriesTrained() {
    try (Decoder decoder = Goldens.load(Goldens.TINY_LLAMA);
        NDManager manager = decoder.newManager();
        WeightOverrides none = decoder.newOverrides(Map.of());
        Distillation distillation =
            decoder.newDistillation(Plan.of(SharingMap.of(0, 1, 2, 3, 4, 5, 5, 7)), none, ROLES)) {
      Map<String, NDArray> weights = distillation.weights(manager);
      assertNull(weights.get("model.layers.6.self_attn.k_proj.weight"));
      assertTrue(weights.containsKey("model.layers.6.self_attn.q_proj.weight"));
      assertTrue(weights.containsKey("model.layers.7.self_attn.k_proj.weight"));
      assertTrue(weights.keySet().stream().noneMatch(name -> name.contains("layers.5.")));
    }
  }

  @Test
  void aMapThatSharesNothingIsRefused() {
    try (Decoder decoder = Goldens.load(Goldens.TINY_LLAMA);
        WeightOverrides none = decoder.newOverrides(Map.of())) {
      assertThrows(
          IllegalArgumentException.class,
          () -> decoder.newDistillation(Plan.of(SharingMap.identity(8)), none, ROLES));
    }
  }

  private static NDArray ids(Decoder decoder, NDManager manager) {
    long[] ids =
        new Random(3).longs((long) WINDOWS * TOKENS, 0, decoder.spec().vocabularySize()).toArray();
    return manager.create(ids, new Shape(WINDOWS, TOKENS));
  }

  /** The lowest layer that may read one below it reads the nearest such. */
  private static SharingMap map(Decoder decoder) {
    int layers = decoder.spec().layers();
    for (int layer = 1; layer < layers; layer++) {
      for (int source = layer - 1; source >= 0; source--) {
        if (decoder.spec().mayShare(layer, source)) {
          return SharingMap.identity(layers).withShared(layer, source);
        }
      }
    }
    throw new AssertionError("no two layers may share");
  }

  private static double moved(
      Decoder decoder,
      Plan plan,
      Map<String, NDArray> weights,
      String name,
      NDArray change,
      NDArray ids) {
    Map<String, NDArray> moved = new HashMap<>(weights);
    moved.put(name, weights.get(name).add(change));
    return divergence(decoder, plan, moved, ids);
  }

  private static double divergence(
      Decoder decoder, Plan plan, Map<String, NDArray> weights, NDArray ids) {
    int layers = decoder.spec().layers();
    try (NDManager scratch = decoder.newManager();
        WeightOverrides overrides = decoder.newOverrides(weights);
        KvCache shared = decoder.newCache(new CacheOptions(plan, overrides), WINDOWS, TOKENS);
        KvCache unshared = decoder.newCache(SharingMap.identity(layers), WINDOWS, TOKENS);
        NDArray embedded = decoder.embed(ids, shared);
        NDArray expected = decoder.layers(embedded, unshared, 0, layers);
        NDArray actual = decoder.layers(embedded, shared, 0, layers)) {
      long[] none = new long[WINDOWS * TOKENS];
      Arrays.fill(none, -1);
      return decoder
          .divergence(expected, actual, scratch.create(none, new Shape(WINDOWS, TOKENS)))
          .mean();
    }
  }
}
