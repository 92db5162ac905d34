package dev.kvshare.apply.family;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a configuration asks for and kvshare does not compute is refused by name. */
class UnsupportedConfigTest {
  @TempDir private Path scratch;

  /** Golden, change, fragments of the message. */
  static List<Arguments> unsupported() {
    return List.of(
        refused("llama", config -> config.remove("model_type"), "'model_type' is absent", "qwen2"),
        refused(
            "llama", config -> config.put("model_type", "mamba"), "\"mamba\"", "is not supported"),
        refused("llama", config -> config.put("num_key_value_heads", 3), "num_key_value_heads"),
        refused("llama", config -> config.put("num_hidden_layers", 0), "num_hidden_layers", "0"),
        refused("llama", config -> config.put("num_attention_heads", -4), "num_attention_heads"),
        refused("llama", config -> config.put("hidden_size", "64"), "hidden_size", "\"64\""),
        refused("llama", config -> config.put("vocab_size", 2.5), "vocab_size", "2.5"),
        refused("llama", config -> config.put("hidden_act", "mish"), "hidden_act", "silu"),
        refused(
            "llama",
            config -> config.remove(List.of("head_dim")).put("hidden_size", 66),
            "hidden_size",
            "num_attention_heads"),
        refused(
            "llama",
            config -> config.putObject("quantization_config").put("quant_method", "gptq"),
            "quantization_config"),
        refused("llama", config -> config.put("rope_interleaved", true), "rope_interleaved"),
        refused("llama", config -> rope(config).put("rope_type", "mrope"), "rope_type", "yarn"),
        refused("llama", config -> rope(config).put("rope_theta", 0), "rope_theta", "above 0"),
        refused("llama", config -> rope(config).put("rope_theta", -1e4), "rope_theta"),
        refused("llama", config -> config.put("rms_norm_eps", -1e-6), "rms_norm_eps", "below 1"),
        refused("llama", config -> config.put("rms_norm_eps", 1e6), "rms_norm_eps"),
        refused("gpt2", config -> config.put("layer_norm_epsilon", 2), "layer_norm_epsilon"),
        refused("gemma2", config -> config.put("query_pre_attn_scalar", 0), "query_pre_attn"),
        refused("granite", config -> config.put("logits_scaling", 0), "logits_scaling"),
        refused("llama_yarn", config -> rope(config).put("factor", 0), "factor"),
        refused("llama_linear_rope", config -> rope(config).put("factor", -2), "factor"),
        refused("llama31", config -> rope(config).put("low_freq_factor", 9), "low_freq_factor"),
        refused("llama", config -> rope(config).put("rope_theta", "1e4"), "rope_theta"),
        refused(
            "llama", config -> rope(config).put("partial_rotary_factor", 0.5), "partial_rotary"),
        refused("llama31", config -> rope(config).remove("factor"), "rope_parameters.factor"),
        refused("gemma2", config -> config.put("use_bidirectional_attention", true), "bidirect"),
        refused("gemma3_text", config -> config.put("num_kv_shared_layers", 2), "num_kv_shared"),
        refused("qwen2", config -> config.putArray("layer_types").add("full_attention"), "layer_t"),
        refused(
            "qwen2",
            config -> config.putArray("layer_types").add("linear").add("a").add("b").add("c"),
            "layer_types"),
        refused("gpt2", config -> config.put("add_cross_attention", true), "add_cross_attention"),
        refused("gpt2", config -> config.put("n_head", 5), "n_embd", "n_head"),
        refused("smollm3", config -> config.putArray("no_rope_layers").add(1), "no_rope_layers"),
        // Each would be allocated before the weights show that they are not there.
        refused("llama", config -> config.put("num_hidden_layers", 16_383_999), "1 to 1,024"),
        refused("gpt2", config -> config.put("n_layer", 1_000_000_000), "n_layer"),
        refused("mixtral", config -> config.put("num_local_experts", 1 << 30), "num_local_experts"),
        refused("qwen3_moe", config -> config.put("num_experts", 1 << 30), "num_"),
        refused("llama", config -> config.put("head_dim", 1 << 30), "num_attention_heads"));
  }

  @ParameterizedTest
  @MethodSource("unsupported")
  void keyIsNamed(String golden, Consumer<ObjectNode> change, List<String> fragments) {
    assertRefused(CheckpointException.Unsupported.class, golden, change, fragments);
  }

  /** Row 17 of the bad inputs: the configuration contradicts the weights. */
  static List<Arguments> contradictions() {
    return List.of(
        refused(
            "llama",
            config -> config.put("num_hidden_layers", 5),
            "model.layers.4.self_attn.q_proj.weight",
            "missing",
            "num_hidden_layers 5"),
        refused(
            "llama",
            config -> config.put("num_hidden_layers", 3),
            "model.layers.3.",
            "no use for it"),
        refused(
            "llama",
            config -> config.put("num_key_value_heads", 4),
            "model.layers.0.self_attn.k_proj.weight",
            "[32, 64]",
            "[64, 64]"),
        refused(
            "llama",
            config -> config.put("vocab_size", 300),
            "model.embed_tokens.weight",
            "[256, 64]",
            "[300, 64]",
            "lm_head.weight"),
        refused(
            "llama_bias", config -> config.put("attention_bias", false), "self_attn.k_proj.bias"),
        refused("llama", config -> config.put("mlp_bias", true), "mlp.up_proj.bias", "missing"),
        refused(
            "llama_tied",
            config -> config.put("tie_word_embeddings", false),
            "lm_head.weight",
            "missing"),
        refused(
            "mixtral",
            config -> config.put("num_local_experts", 5),
            "block_sparse_moe.experts.4.w1.weight"));
  }

  @ParameterizedTest
  @MethodSource("contradictions")
  void tensorAndShapesAreNamed(String golden, Consumer<ObjectNode> change, List<String> fragments) {
    assertRefused(CheckpointException.Mismatch.class, golden, change, fragments);
  }

  @Test
  void keysThatDoNotChangeTheComputationAreAccepted() {
    Path copy =
        copy(
            "llama",
            config ->
                config
                    .put("_name_or_path", "somewhere")
                    .put("is_llama_config", true)
                    .put("rope_interleaved", false)
                    .put("pretraining_tp", 1)
                    .put("some_future_switch", false)
                    .put("some_future_number", 0)
                    .putNull("rope_scaling")
                    .putObject("transformers.js_config")
                    .put("dtype", "q4"));

    assertEquals(spec(Goldens.architecture("llama")), assertDoesNotThrow(() -> spec(copy)));
  }

  @Test
  void slidingAndFullLayersDoNotShareUnlessAsked() {
    ModelSpec spec = spec(Goldens.architecture("gemma2"));

    assertTrue(spec.mayShare(2, 0));
    assertTrue(!spec.mayShare(1, 0) && !spec.mayShare(2, 1));
    assertTrue(spec.mayShare(1, 0, true));
    ModelSpec withoutRotary = spec(Goldens.architecture("smollm3"));
    assertTrue(withoutRotary.mayShare(1, 0) && !withoutRotary.mayShare(3, 0));
  }

  @Test
  void advisesNobodyToChangeASoundFile() {
    for (String key : List.of("quantization_config", "model_type")) {
      Path copy =
          copy(
              "llama",
              config ->
                  config.put(key, "x").put("model_type", key.equals("model_type") ? "x" : "llama"));
      String message =
          assertThrows(CheckpointException.Unsupported.class, () -> spec(copy)).getMessage();
      assertTrue(message.contains("not supported"), message);
      assertTrue(!message.matches("(?s).*(Correct|again|without it).*"), message);
    }
  }

  @Test
  void whatTransformersIgnoresIsIgnoredWithAWarning() {
    Path yarn =
        copy("llama_yarn", config -> rope(config).put("attn_factor", 0.9).put("finetuned", true));
    Path llama =
        copy("llama", config -> config.put("num_nextn_predict_layers", 1).put("some_switch", true));

    String warnings =
        warnings(() -> assertEquals(spec(Goldens.architecture("llama_yarn")), spec(yarn)));
    assertTrue(warnings.contains("attn_factor, rope_parameters.finetuned"), warnings);
    warnings = warnings(() -> assertEquals(spec(Goldens.architecture("llama")), spec(llama)));
    assertTrue(warnings.contains("num_nextn_predict_layers, some_switch"), warnings);
    assertEquals("", warnings(() -> spec(llama)), "said once");
  }

  @Test
  void scaledContextsAreLonger() {
    ModelSpec yarn =
        spec(
            copy(
                "llama_yarn",
                config -> {
                  config.put("max_position_embeddings", 64);
                  rope(config).put("factor", 4).put("original_max_position_embeddings", 64);
                }));
    assertEquals(256, yarn.maxPositions());
    ModelSpec linear = spec(copy("llama_linear_rope", config -> rope(config).put("factor", 2)));
    assertEquals(512, linear.maxPositions());
    ModelSpec dynamic =
        spec(copy("llama", config -> rope(config).put("rope_type", "dynamic").put("factor", 3)));
    assertEquals(768, dynamic.maxPositions());
    assertEquals(256, spec(Goldens.architecture("llama31")).maxPositions());
  }

  @Test
  void aHeadThatIsStoredCountsUnderATiedConfiguration() {
    Path golden = Goldens.architecture("llama");
    Path tied = copy("llama", config -> config.put("tie_word_embeddings", true));

    String warnings = warnings(() -> assertEquals(spec(golden), spec(tied)));
    assertTrue(warnings.contains("'lm_head.weight' is stored and differs"), warnings);
    Path alike = renamed("llama_tied", name -> name);
    rewrite(
        alike,
        (name, writer) -> {
          if (name.equals("model.embed_tokens.weight")) {
            writer.accept("lm_head.weight");
          }
          writer.accept(name);
        });
    assertEquals("", warnings(() -> assertTrue(spec(alike).tiedHead())));
  }

  @Test
  void tensorsOfAModelWithoutHeadLackThePrefix() {
    for (String golden : List.of("llama_tied", "gemma2", "qwen3_moe")) {
      Path base = renamed(golden, name -> name.replaceFirst("^model\\.", ""));
      assertEquals(spec(Goldens.architecture(golden)), spec(base));
    }
    Path neox = renamed("gpt_neox", name -> name.replaceFirst("^gpt_neox\\.", ""));
    assertEquals(spec(Goldens.architecture("gpt_neox")), spec(neox));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "v_head.summary.weight",
        "mtp.layers.0.fc.weight",
        "score.weight",
        "model.layers.1.self_attn.k_proj.k_scale",
        "model.layers.4.mtp_block.fc.weight"
      })
  void tensorsThatNothingUsesAreLeftOutWithAWarning(String extra) {
    Path copy = renamed("llama", name -> name);
    Path with =
        Goldens.copy(
            copy, scratch.resolve("more"), config -> config.put("num_nextn_predict_layers", 1));
    rewrite(
        with,
        (name, writer) -> {
          if (name.equals("model.norm.weight")) {
            writer.accept(extra);
          }
          writer.accept(name);
        });
    String warnings = warnings(() -> assertEquals(spec(Goldens.architecture("llama")), spec(with)));
    assertTrue(warnings.contains(extra), warnings);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "model.norm.bias",
        "lm_head.bias",
        "model.layers.1.self_attn.q_norm.weight",
        "model.layers.4.self_attn.q_proj.weight"
      })
  void tensorsThatMayBelongToTheComputationAreRefused(String extra) {
    Path copy = renamed("llama", name -> name);
    rewrite(
        copy,
        (name, writer) -> {
          if (name.equals("model.norm.weight")) {
            writer.accept(extra);
          }
          writer.accept(name);
        });
    String message =
        assertThrows(CheckpointException.Mismatch.class, () -> spec(copy)).getMessage();
    assertTrue(message.contains(extra), message);
  }

  /** A copy of a golden whose tensors have other names. */
  private Path renamed(String golden, UnaryOperator<String> names) {
    Path copy = copy(golden, config -> {});
    rewrite(copy, (name, writer) -> writer.accept(names.apply(name)));
    return copy;
  }

  /** Writes the weights anew; each tensor under the names that {@code names} gives. */
  private static void rewrite(Path model, BiConsumer<String, Consumer<String>> names) {
    Path file = model.resolve("model.safetensors");
    SafetensorsWriter writer = new SafetensorsWriter(Map.of());
    try (SafetensorsFile weights = SafetensorsFile.open(file)) {
      weights
          .tensors()
          .forEach(
              (name, tensor) -> {
                DataType type = tensor.info().dataType();
                ByteBuffer bytes = weights.bytes(name, type);
                names.accept(name, other -> writer.add(other, type, tensor.info().shape(), bytes));
              });
      AtomicFile.write(file, writer::writeTo);
    }
  }

  private static String warnings(Runnable action) {
    PrintStream before = System.err;
    ByteArrayOutputStream log = new ByteArrayOutputStream();
    try {
      System.setErr(new PrintStream(log, true, StandardCharsets.UTF_8));
      action.run();
    } finally {
      System.setErr(before);
    }
    return log.toString(StandardCharsets.UTF_8);
  }

  private static Arguments refused(
      String golden, Consumer<ObjectNode> change, String... fragments) {
    return Arguments.of(golden, change, List.of(fragments));
  }

  private static ObjectNode rope(ObjectNode config) {
    return (ObjectNode) config.get("rope_parameters");
  }

  private void assertRefused(
      Class<? extends CheckpointException> type,
      String golden,
      Consumer<ObjectNode> change,
      List<String> fragments) {
    Path copy = copy(golden, change);
    String message = assertThrows(type, () -> spec(copy)).getMessage();
    assertTrue(message.contains("config.json"), message);
    for (String fragment : fragments) {
      assertTrue(message.contains(fragment), message + " lacks " + fragment);
    }
  }

  private Path copy(String golden, Consumer<ObjectNode> change) {
    return Goldens.copy(Goldens.architecture(golden), scratch.resolve(golden), change);
  }

  private static ModelSpec spec(Path directory) {
    try (Checkpoint checkpoint = Checkpoints.open(directory)) {
      return ModelFamilies.spec(checkpoint);
    }
  }
}
