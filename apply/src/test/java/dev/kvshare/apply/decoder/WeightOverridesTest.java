package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.apply.plan.SharingMap;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Weights that travel with a cache instead of the checkpoint's. */
class WeightOverridesTest {
  private static final double TOLERANCE = 2e-4;
  private static final int BATCH = 2;
  private static final int TOKENS = 20;
  private static final String BIAS = "model.layers.3.mlp.down_proj.bias";

  @TempDir private Path scratch;

  static List<Path> checkpoints() {
    return Stream.concat(
            Goldens.architectures().stream(),
            Stream.of(Goldens.ROOT.resolve("variants/opt_350m_like")))
        .toList();
  }

  /** Every layout of projections: separate, fused, grouped by head and transposed. */
  @ParameterizedTest
  @MethodSource("checkpoints")
  void whatTheCheckpointLostIsRestored(Path directory) throws IOException {
    Path golden = directory.resolve("golden.safetensors");
    try (SafetensorsFile stored = SafetensorsFile.open(directory.resolve("model.safetensors"))) {
      ReplaceableWeights replaceable = replaceable(directory);
      Path emptied = emptied(directory, stored, replaceable);
      try (Decoder decoder = Goldens.load(emptied);
          NDManager manager = decoder.newManager()) {
        Map<String, NDArray> tensors = new HashMap<>();
        for (StoredTensor tensor : stored.tensors().values()) {
          if (replaceable.contains(tensor.info().name())) {
            tensors.put(tensor.info().name(), tensor(manager, stored, tensor));
          }
        }
        SharingMap identity = SharingMap.identity(decoder.spec().layers());
        try (WeightOverrides overrides = decoder.newOverrides(tensors);
            KvCache cache =
                decoder.newCache(new CacheOptions(identity, overrides), BATCH, TOKENS)) {
          NDArray ids =
              manager.create(Goldens.longs(golden, "input_ids"), new Shape(BATCH, TOKENS));

          float[] logits = Goldens.take(decoder.forward(ids, cache));

          assertEquals(tensors.keySet(), overrides.names());
          double difference = Goldens.difference(Goldens.floats(golden, "logits"), logits);
          assertEquals(0, difference, TOLERANCE);
        }
      }
    }
  }

  @Test
  void aBiasThatTheCheckpointLacksIsAddedAndForksKeepIt() {
    try (Decoder decoder = Goldens.load(Goldens.architecture("llama"));
        NDManager manager = decoder.newManager()) {
      NDArray shift = manager.arange(64f).mul(0.01f);
      SharingMap identity = SharingMap.identity(4);
      NDArray ids = manager.create(new long[] {5, 6, 7, 8}, new Shape(1, 4));
      try (KvCache plain = decoder.newCache(identity, 1, 4);
          WeightOverrides overrides = decoder.newOverrides(Map.of(BIAS, shift));
          KvCache cache = decoder.newCache(new CacheOptions(identity, overrides), 1, 4)) {
        NDArray expected = decoder.layers(decoder.embed(ids, plain), plain, 0, 4).add(shift);
        NDArray below = decoder.layers(decoder.embed(ids, cache), cache, 0, 2);
        decoder.layers(below, cache, 2, 4);
        cache.advance(4);

        try (KvCache fork = cache.fork(identity, 2)) {
          float[] actual = Goldens.take(decoder.layers(below, fork, 2, 4));
          assertEquals(0, Goldens.difference(expected.toFloatArray(), actual), 1e-6);
        }
        assertEquals(64 * Float.BYTES, overrides.bytes());
      }
    }
  }

  @Test
  void unknownNamesAndShapesAreRefused() {
    try (Decoder decoder = Goldens.load(Goldens.architecture("llama"));
        NDManager manager = decoder.newManager()) {
      NDArray vector = manager.zeros(new Shape(63));
      IllegalArgumentException name =
          assertThrows(
              IllegalArgumentException.class,
              () -> decoder.newOverrides(Map.of("model.norm.weight", vector)));
      assertTrue(name.getMessage().contains("'model.norm.weight'"), name.getMessage());
      IllegalArgumentException shape =
          assertThrows(
              IllegalArgumentException.class, () -> decoder.newOverrides(Map.of(BIAS, vector)));
      assertTrue(shape.getMessage().contains("(63)"), shape.getMessage());
    }
  }

  @Test
  void namesFollowTheFamily() {
    ReplaceableWeights gpt2 = replaceable(Goldens.architecture("gpt2"));
    String output = "transformer.h.1.attn.c_proj.weight";
    assertEquals(List.of(output), gpt2.names(1, WeightRole.OUTPUT));
    assertTrue(gpt2.isTransposed(output));
    assertEquals(1, gpt2.layer(output));
    ReplaceableWeights mixtral = replaceable(Goldens.architecture("mixtral"));
    assertEquals(List.of(), mixtral.names(0, WeightRole.DOWN));
    assertEquals(
        List.of("model.layers.0.self_attn.o_proj.bias"), mixtral.names(0, WeightRole.OUTPUT_BIAS));
  }

  private static ReplaceableWeights replaceable(Path directory) {
    try (Checkpoint checkpoint = Checkpoints.open(directory)) {
      return ReplaceableWeights.of(ModelFamilies.spec(checkpoint));
    }
  }

  private Path emptied(Path directory, SafetensorsFile stored, ReplaceableWeights replaceable)
      throws IOException {
    SafetensorsWriter writer = new SafetensorsWriter(Map.of());
    for (StoredTensor tensor : stored.tensors().values()) {
      String name = tensor.info().name();
      ByteBuffer bytes =
          replaceable.contains(name)
              ? ByteBuffer.allocate(Math.toIntExact(tensor.info().bytes()))
              : stored.bytes(name, DataType.F32);
      writer.add(name, DataType.F32, tensor.info().shape(), bytes.order(ByteOrder.LITTLE_ENDIAN));
    }
    Path copy = Goldens.copy(directory, scratch.resolve("copy"), config -> {});
    try (OutputStream out = Files.newOutputStream(copy.resolve("model.safetensors"))) {
      writer.writeTo(out);
    }
    return copy;
  }

  private static NDArray tensor(NDManager manager, SafetensorsFile stored, StoredTensor tensor) {
    float[] numbers = new float[Math.toIntExact(tensor.info().elements())];
    stored.bytes(tensor.info().name(), DataType.F32).asFloatBuffer().get(numbers);
    long[] shape = tensor.info().shape().stream().mapToLong(Long::longValue).toArray();
    return manager.create(numbers, new Shape(shape));
  }
}
