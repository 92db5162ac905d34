package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.SharingMap;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Weights kept as 8-bit integers: close to the reference in every family, shared or not. The random
 * weights of these tiny models amplify each rounding, and a router may choose another expert.
 */
class Int8WeightsTest {
  private static final DecoderOptions INT8 =
      new DecoderOptions("cpu", ComputeType.FLOAT32, 1).withWeights(WeightForm.INT8);
  private static final int BATCH = 2;
  private static final int TOKENS = 20;

  static List<Path> architectures() {
    return Goldens.architectures();
  }

  /** 40 rows take one way through a product, 2 rows the other. */
  @ParameterizedTest
  @MethodSource("architectures")
  void logitsAreNearTheReference(Path directory) {
    Path golden = directory.resolve("golden.safetensors");
    float[] expected = Goldens.floats(golden, "logits");
    int vocabulary = expected.length / BATCH / TOKENS;
    try (Checkpoint checkpoint = Checkpoints.open(directory);
        Decoder decoder = Decoder.load(checkpoint, INT8);
        NDManager manager = decoder.newManager()) {
      SharingMap identity = SharingMap.identity(decoder.spec().layers());
      NDArray ids = manager.create(Goldens.longs(golden, "input_ids"), new Shape(BATCH, TOKENS));
      try (KvCache whole = decoder.newCache(identity, BATCH, TOKENS);
          KvCache stepwise = decoder.newCache(identity, BATCH, TOKENS)) {
        assertNear(expected, Goldens.take(decoder.forward(ids, whole)));
        float[] all = new float[expected.length];
        for (int t = 0; t < TOKENS; t++) {
          float[] logits = Goldens.take(decoder.decode(ids.get(":, " + t), stepwise));
          for (int row = 0; row < BATCH; row++) {
            int to = (row * TOKENS + t) * vocabulary;
            System.arraycopy(logits, row * vocabulary, all, to, vocabulary);
          }
        }
        assertNear(expected, all);
      }
    }
  }

  @Test
  void aSharingLayerAndAnOverrideKeepTheIntegers() {
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA);
        Decoder decoder = Decoder.load(checkpoint, INT8);
        NDManager manager = decoder.newManager()) {
      int layers = decoder.spec().layers();
      SharingMap map = SharingMap.identity(layers).withShared(layers - 1, 1);
      NDArray ids = manager.create(new long[] {1, 2, 3, 4}, new Shape(1, 4));
      String name = "model.layers.2.self_attn.o_proj.weight";
      Map<String, NDArray> own = Map.of(name, decoder.weight(2, WeightRole.OUTPUT, manager));
      try (KvCache cache = decoder.newCache(map, 1, 4);
          WeightOverrides overrides = decoder.newOverrides(own);
          KvCache overridden = decoder.newCache(new CacheOptions(map, overrides), 1, 4)) {
        float[] expected = Goldens.take(decoder.forward(ids, cache));
        float[] logits = Goldens.take(decoder.forward(ids, overridden));
        assertNear(expected, logits);
      }
    }
  }

  @Test
  void areRefusedOnAGpu() {
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    new DecoderOptions("cuda:0", ComputeType.FLOAT32, 0)
                        .withWeights(WeightForm.INT8))
            .getMessage();
    assertTrue(message.contains("int8 weights run on the cpu"), message);
  }

  private static void assertNear(float[] expected, float[] logits) {
    double difference = 0;
    double square = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(expected[i] - logits[i], 2);
      square += Math.pow(expected[i], 2);
    }
    double relative = Math.sqrt(difference / square);
    assertTrue(relative < 0.2, "relative difference " + relative);
  }
}
