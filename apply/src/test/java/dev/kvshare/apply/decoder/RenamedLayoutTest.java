package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.plan.SharingMap;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Golden checkpoints stored in another layout that a family may have give the same logits. */
class RenamedLayoutTest {
  private static final double TOLERANCE = 2e-4;

  @TempDir private Path scratch;

  private SafetensorsFile golden;
  private SafetensorsWriter writer;

  /** The layout published with InternLM2: query heads, key and value of each key/value head. */
  @Test
  void internLm2StoresQueriesKeysAndValuesByKeyValueHead() throws IOException {
    Path llama = Goldens.architecture("llama");
    int size = 16;
    open(llama);
    for (int layer = 0; layer < 4; layer++) {
      String from = "model.layers." + layer + ".";
      ByteBuffer grouped = ByteBuffer.allocate((64 + 2 * 32) * 64 * Float.BYTES);
      for (int group = 0; group < 2; group++) {
        grouped.put(rows(from + "self_attn.q_proj.weight", group * 2 * size, 2 * size));
        grouped.put(rows(from + "self_attn.k_proj.weight", group * size, size));
        grouped.put(rows(from + "self_attn.v_proj.weight", group * size, size));
      }
      add(from + "attention.wqkv.weight", List.of(128L, 64L), grouped.flip());
      move(from + "self_attn.o_proj.weight", from + "attention.wo.weight");
      move(from + "mlp.gate_proj.weight", from + "feed_forward.w1.weight");
      move(from + "mlp.up_proj.weight", from + "feed_forward.w3.weight");
      move(from + "mlp.down_proj.weight", from + "feed_forward.w2.weight");
      move(from + "input_layernorm.weight", from + "attention_norm.weight");
      move(from + "post_attention_layernorm.weight", from + "ffn_norm.weight");
    }
    move("model.embed_tokens.weight", "model.tok_embeddings.weight");
    move("model.norm.weight", "model.norm.weight");
    move("lm_head.weight", "output.weight");

    assertSameLogits(
        llama,
        config -> {
          config.put("model_type", "internlm2").put("bias", false);
          config.remove(List.of("attention_bias", "mlp_bias", "rope_parameters"));
          config.put("rope_theta", 10000).put("attn_implementation", "eager");
          config.putObject("rope_scaling").put("type", "dynamic").put("factor", 2.0);
        });
  }

  /** The layout of recent transformers: all experts of a layer in one tensor. */
  @Test
  void expertsMayBeStoredInOneTensor() throws IOException {
    Path mixtral = Goldens.architecture("mixtral");
    open(mixtral);
    for (String name : golden.tensors().keySet()) {
      if (!name.contains("block_sparse_moe")) {
        move(name, name);
      }
    }
    for (int layer = 0; layer < 4; layer++) {
      String from = "model.layers." + layer + ".block_sparse_moe.";
      String to = "model.layers." + layer + ".mlp.";
      ByteBuffer gateUp = ByteBuffer.allocate(4 * 256 * 64 * Float.BYTES);
      ByteBuffer down = ByteBuffer.allocate(4 * 64 * 128 * Float.BYTES);
      for (int expert = 0; expert < 4; expert++) {
        gateUp.put(bytes(from + "experts." + expert + ".w1.weight"));
        gateUp.put(bytes(from + "experts." + expert + ".w3.weight"));
        down.put(bytes(from + "experts." + expert + ".w2.weight"));
      }
      add(to + "experts.gate_up_proj", List.of(4L, 256L, 64L), gateUp.flip());
      add(to + "experts.down_proj", List.of(4L, 64L, 128L), down.flip());
      move(from + "gate.weight", to + "gate.weight");
    }

    assertSameLogits(mixtral, config -> {});
  }

  /** The layout of the hub's GPT-2: names without the prefix, and the buffers of its masks. */
  @Test
  void gpt2MayHaveNoPrefix() throws IOException {
    Path gpt2 = Goldens.architecture("gpt2");
    open(gpt2);
    for (String name : golden.tensors().keySet()) {
      move(name, name.replace("transformer.", ""));
    }
    add("h.0.attn.bias", List.of(1L, 1L, 1L, 1L), ByteBuffer.allocate(Float.BYTES));

    assertSameLogits(gpt2, config -> config.put("n_ctx", 256));
  }

  private void open(Path directory) {
    golden = SafetensorsFile.open(directory.resolve("model.safetensors"));
    writer = new SafetensorsWriter(Map.of());
  }

  private ByteBuffer bytes(String tensor) {
    return golden.bytes(tensor, DataType.F32);
  }

  private ByteBuffer rows(String tensor, int first, int count) {
    int rowBytes = 64 * Float.BYTES;
    return bytes(tensor).slice(first * rowBytes, count * rowBytes);
  }

  private void move(String from, String to) {
    add(to, golden.tensors().get(from).info().shape(), bytes(from));
  }

  private void add(String name, List<Long> shape, ByteBuffer data) {
    writer.add(name, DataType.F32, shape, data.order(ByteOrder.LITTLE_ENDIAN));
  }

  private void assertSameLogits(Path original, Consumer<ObjectNode> change) throws IOException {
    Path copy = Goldens.copy(original, scratch.resolve("copy"), change);
    try (OutputStream out = Files.newOutputStream(copy.resolve("model.safetensors"))) {
      writer.writeTo(out);
    }
    golden.close();
    Path outputs = original.resolve("golden.safetensors");
    try (Decoder decoder = Goldens.load(copy);
        NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SharingMap.identity(4), 2, 20)) {
      NDArray ids = manager.create(Goldens.longs(outputs, "input_ids"), new Shape(2, 20));
      float[] logits = Goldens.take(decoder.forward(ids, cache));

      float[] expected = Goldens.floats(outputs, "logits");
      assertEquals(0, Goldens.difference(expected, logits), TOLERANCE);
    }
  }
}
