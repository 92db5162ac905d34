package dev.kvshare.model.gguf.architecture;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.model.gguf.GgufContents;
import dev.kvshare.model.gguf.Metadata;
import java.util.List;
import java.util.Map;

/**
 * The rotary embedding: {@code rope.*} keys and frequency factors become {@code rope_theta}, {@code
 * partial_rotary_factor} and {@code rope_scaling}.
 *
 * <p>llama.cpp stores the frequencies of Llama 3.1 not by its parameters but as divisors, one a
 * rotated pair, in the tensor {@value #FACTORS}. That is what LongRoPE's {@code short_factor} and
 * {@code long_factor} say, so they are given in this form, both alike.
 */
final class RotaryKeys {
  private static final String FACTORS = "rope_freqs.weight";
  private static final double DEFAULT_BASE = 10000;

  /** YaRN's keys in the file and in the configuration. */
  private static final Map<String, String> YARN_KEYS =
      Map.of(
          "attn_factor", "attention_factor",
          "yarn_attn_factor", "attention_factor",
          "yarn_beta_fast", "beta_fast",
          "yarn_beta_slow", "beta_slow");

  private RotaryKeys() {}

  static void derive(GgufContents contents, ObjectNode config) {
    String prefix = contents.architecture() + ".rope.";
    Metadata metadata = contents.metadata();
    Double base = metadata.number(prefix + "freq_base");
    config.put("rope_theta", base == null ? DEFAULT_BASE : base);
    partial(metadata.natural(prefix + "dimension_count"), config);
    scaling(contents, prefix + "scaling.", config);
    List<Double> factors = contents.floats(FACTORS);
    if (!factors.isEmpty()) {
      ObjectNode scaling = config.putObject("rope_scaling").put("rope_type", "longrope");
      addAll(scaling.putArray("short_factor"), factors);
      addAll(scaling.putArray("long_factor"), factors);
      scaling.put("attention_factor", 1.0);
      scaling.put(
          "original_max_position_embeddings", config.path("max_position_embeddings").asInt());
    }
  }

  private static void partial(Long rotated, ObjectNode config) {
    int heads = config.path("num_attention_heads").asInt();
    int headSize =
        config.has("head_dim")
            ? config.get("head_dim").asInt()
            : heads == 0 ? 0 : config.path("hidden_size").asInt() / heads;
    if (rotated != null && headSize > 0 && rotated != headSize) {
      config.put("partial_rotary_factor", (double) rotated / headSize);
    }
  }

  private static void scaling(GgufContents contents, String prefix, ObjectNode config) {
    Metadata metadata = contents.metadata();
    String type = metadata.text(prefix + "type");
    Double factor = metadata.number(prefix + "factor");
    Long trained = metadata.natural(prefix + "original_context_length");
    if (type == null || type.equals("none")) {
      return;
    }
    switch (type) {
      case "linear" ->
          config.putObject("rope_scaling").put("rope_type", "linear").put("factor", factor);
      case "yarn" -> {
        ObjectNode scaling = config.putObject("rope_scaling");
        scaling.put("rope_type", "yarn").put("factor", factor);
        if (trained != null) {
          scaling.put("original_max_position_embeddings", trained);
        }
        YARN_KEYS.forEach(
            (gguf, huggingFace) -> {
              Double value = metadata.number(prefix + gguf);
              if (value != null) {
                scaling.put(huggingFace, value);
              }
            });
      }
      default ->
          contents
              .problems()
              .unsupported(
                  "key '"
                      + prefix
                      + "type' is '"
                      + type
                      + "', but none, linear or yarn is computed");
    }
  }

  private static void addAll(ArrayNode array, List<Double> values) {
    values.forEach(array::add);
  }
}
