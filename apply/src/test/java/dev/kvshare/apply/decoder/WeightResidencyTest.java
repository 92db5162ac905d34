package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.SharingMap;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** A decoder with one layer in memory computes what one with all of them does. */
@Tag("numerics")
class WeightResidencyTest {
  private static final int BATCH = 2;
  private static final int TOKENS = 12;

  static List<Path> checkpoints() {
    return Goldens.architectures();
  }

  @ParameterizedTest
  @MethodSource("checkpoints")
  void everyFamilyGivesTheSameNumbers(Path directory) {
    assertSame(directory, Goldens.OPTIONS);
  }

  @ParameterizedTest
  @EnumSource(ComputeType.class)
  void everyComputeTypeGivesTheSameNumbers(ComputeType type) {
    assertSame(Goldens.TINY_LLAMA, new DecoderOptions("cpu", type, 1));
  }

  @Test
  void int8WeightsGiveTheSameNumbers() {
    assertSame(Goldens.TINY_LLAMA, Goldens.OPTIONS.withWeights(WeightForm.INT8));
  }

  private static void assertSame(Path directory, DecoderOptions options) {
    List<float[]> expected = run(directory, options);
    List<float[]> actual = run(directory, options.withResidency(WeightResidency.ONE_LAYER));
    for (int i = 0; i < expected.size(); i++) {
      assertArrayEquals(expected.get(i), actual.get(i));
    }
  }

  /** Logits of a prompt, of a decoded token and of both at once, where a layer shares. */
  private static List<float[]> run(Path directory, DecoderOptions options) {
    try (Checkpoint checkpoint = Checkpoints.open(directory);
        Decoder decoder = Decoder.load(checkpoint, options);
        NDManager manager = decoder.newManager()) {
      SharingMap map = map(decoder);
      NDArray ids = ids(manager, decoder);
      try (KvCache prompt = decoder.newCache(map, BATCH, TOKENS);
          KvCache whole = decoder.newCache(map, BATCH, TOKENS)) {
        int[] text = IntStream.range(0, TOKENS).map(i -> token(decoder, i)).toArray();
        float[] prefilled = Goldens.take(decoder.prefill(PromptBatch.of(text, text), prompt, 5));
        NDArray next = manager.create(new long[] {1, 2});
        return List.of(
            prefilled,
            Goldens.take(decoder.decode(next, prompt)),
            Goldens.take(decoder.forward(ids, whole)));
      }
    }
  }

  /** The highest layer that may reads what the lowest of its kind keeps. */
  private static SharingMap map(Decoder decoder) {
    int layers = decoder.spec().layers();
    for (int layer = layers - 1; layer > 0; layer--) {
      for (int source = 0; source < layer; source++) {
        if (decoder.spec().mayShare(layer, source, false)) {
          return SharingMap.identity(layers).withShared(layer, source);
        }
      }
    }
    return SharingMap.identity(layers);
  }

  private static int token(Decoder decoder, int position) {
    return (position * 37 + 5) % decoder.spec().vocabularySize();
  }

  private static NDArray ids(NDManager manager, Decoder decoder) {
    long[] ids = IntStream.range(0, BATCH * TOKENS).mapToLong(i -> token(decoder, i)).toArray();
    return manager.create(ids, new Shape(BATCH, TOKENS));
  }

  @Test
  void aLayerIsReadOnceForAllThatRunsThrough() {
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA);
        Decoder decoder = offloaded(checkpoint);
        NDManager manager = decoder.newManager();
        KvCache first = decoder.newCache(SharingMap.identity(8), BATCH, TOKENS);
        KvCache second = decoder.newCache(map(decoder), BATCH, TOKENS)) {
      NDArray ids = ids(manager, decoder);
      NDArray a = decoder.embed(ids, first);
      NDArray b = decoder.embed(ids, second);
      assertEquals(0, decoder.layerReads());
      for (int layer = 0; layer < 8; layer++) {
        a = decoder.layers(a, first, layer, layer + 1);
        b = decoder.layers(b, second, layer, layer + 1);
        decoder.weight(layer, WeightRole.OUTPUT, manager).close();
        assertEquals(layer + 1, decoder.layerReads());
      }
      decoder.finalNorm(a);
      assertEquals(8, decoder.layerReads());
      decoder.head(a);
      decoder.head(b);
      assertEquals(9, decoder.layerReads());
    }
  }

  @Test
  void partsAndOverridesGiveTheSameNumbers() {
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA);
        Decoder whole = Decoder.load(checkpoint, Goldens.OPTIONS);
        Decoder offloaded = offloaded(checkpoint)) {
      assertArrayEquals(overridden(whole), overridden(offloaded));
      assertArrayEquals(inParts(whole), inParts(offloaded));
    }
  }

  private static float[] overridden(Decoder decoder) {
    String name = "model.layers.3.self_attn.o_proj.weight";
    try (NDManager manager = decoder.newManager();
        NDArray original = decoder.weight(3, WeightRole.OUTPUT, manager);
        NDArray changed = original.mul(2);
        WeightOverrides overrides = decoder.newOverrides(Map.of(name, changed));
        KvCache cache =
            decoder.newCache(new CacheOptions(map(decoder), overrides), BATCH, TOKENS)) {
      return Goldens.take(decoder.forward(ids(manager, decoder), cache));
    }
  }

  private static float[] inParts(Decoder decoder) {
    LayerParts parts = decoder.parts();
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SharingMap.identity(8), BATCH, TOKENS)) {
      NDArray x = decoder.embed(ids(manager, decoder), cache);
      for (int layer = 0; layer < 8; layer++) {
        try (KeyValues keyValues = parts.newKeyValues(layer, x)) {
          NDArray entering = parts.heads(layer, x, keyValues, true);
          NDArray attended = parts.project(layer, Part.ATTENTION, entering);
          NDArray between = parts.add(layer, Part.ATTENTION, x, attended);
          NDArray inner = parts.inner(layer, x, between);
          NDArray projected = parts.project(layer, Part.FEED_FORWARD, inner);
          x = parts.add(layer, Part.FEED_FORWARD, between, projected);
        }
      }
      return x.toFloatArray();
    }
  }

  @Test
  void layersThatLeaveFreeTheirMemory() {
    int repeated = 300;
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA);
        Decoder decoder = offloaded(checkpoint);
        NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(map(decoder), BATCH, TOKENS)) {
      NDArray ids = ids(manager, decoder);
      passes(decoder, ids, cache, 100);
      long read = repeated * weightBytes(checkpoint);
      MemoryGrowth.assertBelow(read / 4, () -> passes(decoder, ids, cache, repeated));
    }
  }

  /** Ends with a collection, which gives back what garbage had touched of the Java heap. */
  private static void passes(Decoder decoder, NDArray ids, KvCache cache, int passes) {
    for (int pass = 0; pass < passes; pass++) {
      cache.truncate(0);
      decoder.forward(ids, cache).close();
    }
    System.gc();
  }

  private static long weightBytes(Checkpoint checkpoint) {
    return checkpoint.tensors().values().stream()
        .mapToLong(tensor -> tensor.elements() * Float.BYTES)
        .sum();
  }

  private static Decoder offloaded(Checkpoint checkpoint) {
    return Decoder.load(checkpoint, Goldens.OPTIONS.withResidency(WeightResidency.ONE_LAYER));
  }
}
