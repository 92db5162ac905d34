package dev.kvshare.apply.export;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.export.LckvExport.KeyValueWeights;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Exports of the tiny Llama, loaded again; logits against those of the LCKV code. */
class LckvExportTest {
  private static final double TOLERANCE = 1e-2;
  private static final Path REFERENCE = Goldens.TINY_LLAMA.getParent();
  private static final Path LOGITS = REFERENCE.resolve("lckv_logits.safetensors");

  @TempDir Path folder;
  private static long[] ids;

  @BeforeAll
  static void readInput() throws IOException {
    JsonNode golden = new ObjectMapper().readTree(REFERENCE.resolve("lckv.json").toFile());
    ids =
        StreamSupport.stream(golden.get("input_ids").spliterator(), false)
            .mapToLong(JsonNode::asLong)
            .toArray();
  }

  private static Policy policy(String types, int window) {
    Plan plan = LayerTypes.parse(types).plan(window, UpwardReading.LCKV_DEFAULT, false);
    return Policy.of(ModelIdentity.ofLayers(8), plan);
  }

  private Path export(Policy policy, Path repair, KeyValueWeights weights) {
    Path directory = folder.resolve("export");
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA)) {
      LckvExport.write(checkpoint, policy, repair, weights, directory);
    }
    return directory;
  }

  @Test
  void ownWeightsComputeWhatThePolicyComputes() throws IOException {
    Path lckv = export(policy("0_6_6_6_6_6_6_7", 0), null, KeyValueWeights.OWN);

    assertEquals(0, difference(lckv, "lckv/flash/full"), TOLERANCE);
    JsonNode config = new ObjectMapper().readTree(lckv.resolve("config.json").toFile());
    assertEquals("lckv-llama", config.get("model_type").asText());
    assertEquals("0_6_6_6_6_6_6_7", config.get("layer_types").asText());
    assertEquals(7, config.get("forward_passes").asInt());
    assertEquals(2, config.get("backward_passes").asInt());
    try (Checkpoint checkpoint = Checkpoints.open(lckv)) {
      assertFalse(checkpoint.tensors().containsKey("model.layers.3.self_attn.k_proj.weight"));
      assertTrue(checkpoint.tensors().containsKey("model.layers.6.self_attn.v_proj.weight"));
    }
  }

  @Test
  void averagedWeightsAreThoseOfTheAuthorsConversion() {
    Path lckv = export(policy("0_6_6_6_6_6_6_7", 0), null, KeyValueWeights.AVERAGED);
    assertEquals(0, difference(lckv, "lckv/flash/full_averaged_kv_weights"), TOLERANCE);
    Path cla = export(policy("0_0_2_2_4_4_6_6", 0), null, KeyValueWeights.AVERAGED);
    assertEquals(0, difference(cla, "cla/flash/full_averaged_kv_weights"), 1e-3);
  }

  @Test
  void windowsAreKept() {
    Path yoco = export(policy("0s_1s_2s_3_3_3_3_3", 6), null, KeyValueWeights.OWN);
    assertEquals(0, difference(yoco, "yoco_sw6/eager/full"), 1e-3);
  }

  @Test
  void windowsWithSinksAreRefused() {
    Policy policy =
        Policy.of(
            ModelIdentity.ofLayers(8),
            policy("0s_1s_2s_3_3_3_3_3", 6)
                .plan()
                .withWindows(new Plan.Windows(List.of(0, 1, 2), 4, 6)));
    PolicyException.Unsupported refused =
        assertThrows(
            PolicyException.Unsupported.class, () -> export(policy, null, KeyValueWeights.OWN));
    assertTrue(refused.getMessage().contains("the first 4 tokens"), refused.getMessage());
    assertTrue(refused.getMessage().contains("without attention sinks"), refused.getMessage());
    assertFalse(Files.exists(folder.resolve("export")));
  }

  @Test
  void anotherMapIsRefusedWhereWeightsAreMissing() {
    Path lckv = export(policy("0_6_6_6_6_6_6_7", 0), null, KeyValueWeights.OWN);
    try (Checkpoint checkpoint = Checkpoints.open(lckv);
        Decoder decoder = Decoder.load(checkpoint, Goldens.OPTIONS)) {
      PolicyException.Mismatch refused =
          assertThrows(
              PolicyException.Mismatch.class, () -> decoder.newCache(SharingMap.identity(8), 1, 1));
      assertTrue(refused.getMessage().contains("trained to share"), refused.getMessage());
      decoder.newCache(CacheOptions.of(decoder.spec().plan()), 1, 1).close();
    }
  }

  @Test
  void refittedWeightsAreInPlaceAndOthersRefused() throws IOException {
    String weight = "model.layers.3.self_attn.o_proj.weight";
    String bias = "model.layers.3.self_attn.o_proj.bias";
    Path repair = folder.resolve("policy.safetensors");
    repair(repair, Map.of(weight, List.of(64L, 64L), bias, List.of(64L)));

    Path lckv = export(policy("0_6_6_6_6_6_6_7", 0), repair, KeyValueWeights.OWN);

    try (Checkpoint checkpoint = Checkpoints.open(lckv);
        Decoder decoder = Decoder.load(checkpoint, Goldens.OPTIONS)) {
      assertTrue(checkpoint.config().bool("attention_bias", false));
      ByteBuffer found = ByteBuffer.allocateDirect(64 * Float.BYTES);
      checkpoint.read(bias, DataType.F32, found);
      assertEquals(0.5f, found.flip().order(ByteOrder.LITTLE_ENDIAN).getFloat());
      assertFalse(checkpoint.tensors().containsKey("model.layers.3.self_attn.k_proj.bias"));
      assertTrue(decoder.spec().plan().map().hasUpwardSources());
    }

    repair(repair, Map.of(weight, List.of(64L, 128L)));
    PolicyException.Unsupported refused =
        assertThrows(
            PolicyException.Unsupported.class,
            () -> export(policy("0_6_6_6_6_6_6_7", 0), repair, KeyValueWeights.OWN));
    assertTrue(refused.getMessage().contains(weight), refused.getMessage());
  }

  @Test
  void otherFamiliesAreRefused() {
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.architecture("qwen2"))) {
      Policy any = Policy.of(ModelIdentity.ofLayers(4), Plan.identity(4));
      PolicyException.Unsupported refused =
          assertThrows(
              PolicyException.Unsupported.class,
              () -> LckvExport.write(checkpoint, any, null, KeyValueWeights.OWN, folder));
      assertTrue(refused.getMessage().contains("qwen2"), refused.getMessage());
    }
  }

  private static void repair(Path file, Map<String, List<Long>> shapes) throws IOException {
    SafetensorsWriter writer = new SafetensorsWriter(Map.of());
    shapes.forEach(
        (name, shape) -> {
          int elements = Math.toIntExact(shape.stream().reduce(1L, (a, b) -> a * b));
          ByteBuffer data =
              ByteBuffer.allocate(elements * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
          while (data.hasRemaining()) {
            data.putFloat(0.5f);
          }
          writer.add(name, DataType.F32, shape, data.flip());
        });
    try (OutputStream out = Files.newOutputStream(file)) {
      writer.writeTo(out);
    }
  }

  /** How far the logits of a checkpoint under its own map are from stored ones. */
  private static double difference(Path directory, String tensor) {
    try (Checkpoint checkpoint = Checkpoints.open(directory);
        Decoder decoder = Decoder.load(checkpoint, Goldens.OPTIONS);
        NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(decoder.spec().plan()), 1, 24)) {
      float[] found =
          Goldens.take(decoder.forward(manager.create(ids, new Shape(1, ids.length)), cache));
      return Goldens.difference(Goldens.floats(LOGITS, tensor), found);
    }
  }
}
