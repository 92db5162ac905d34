package dev.kvshare.apply.model.gguf;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
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
  private static final String SHORT_FACTORS = "rope_factors_short.weight";
  private static final String LONG_FACTORS = "rope_factors_long.weight";
  private static final double DEFAULT_BASE = 10000;

  /** YaRN's keys in the file and in the configuration. */
  private static final Map<String, String> YARN_KEYS =
      Map.of(
          "attn_factor", "attention_factor",
          "yarn_attn_factor", "attention_factor",
          "yarn_beta_fast", "beta_fast",
          "yarn_beta_slow", "beta_slow");

  private RotaryKeys() {}

  /** The keys in the file by those of the configuration. */
  static Map<String, String> names(String prefix) {
    Map<String, String> names = new HashMap<>();
    names.put("rope_theta", prefix + "rope.freq_base");
    names.put("partial_rotary_factor", prefix + "rope.dimension_count");
    YARN_KEYS.forEach(
        (gguf, key) -> names.put("rope_scaling." + key, prefix + "rope.scaling." + gguf));
    names.put("rope_scaling.factor", prefix + "rope.scaling.factor");
    names.put("rope_scaling.rope_type", prefix + "rope.scaling.type");
    names.put("rope_scaling.short_factor", "tensor " + SHORT_FACTORS);
    names.put("rope_scaling.long_factor", "tensor " + LONG_FACTORS);
    names.put(
        "rope_scaling.original_max_position_embeddings",
        prefix + "rope.scaling.original_context_length");
    return names;
  }

  static void derive(GgufContents contents, ObjectNode config) {
    String prefix = contents.architecture() + ".rope.";
    Metadata metadata = contents.metadata();
    Double base = metadata.number(prefix + "freq_base");
    config.put("rope_theta", base == null ? DEFAULT_BASE : base);
    partial(metadata.natural(prefix + "dimension_count"), config);
    scaling(contents, prefix + "scaling.", config);
    longRope(contents, prefix + "scaling.", config);
  }

  /** The size of a head, as given or implied; 0 when the file does not say. */
  static int headSize(ObjectNode config) {
    int heads = config.path("num_attention_heads").asInt();
    int implied = heads == 0 ? 0 : config.path("hidden_size").asInt() / heads;
    return config.path("head_dim").asInt(implied);
  }

  private static void longRope(GgufContents contents, String prefix, ObjectNode config) {
    List<Double> common = contents.floats(FACTORS);
    List<Double> shortFactors = common.isEmpty() ? contents.floats(SHORT_FACTORS) : common;
    List<Double> longFactors = common.isEmpty() ? contents.floats(LONG_FACTORS) : common;
    if (shortFactors.isEmpty() && longFactors.isEmpty()) {
      return;
    }
    ObjectNode scaling = config.putObject("rope_scaling").put("rope_type", "longrope");
    shortFactors.forEach(scaling.putArray("short_factor")::add);
    longFactors.forEach(scaling.putArray("long_factor")::add);
    Double attention = contents.metadata().number(prefix + "attn_factor");
    if (attention != null || !common.isEmpty()) {
      scaling.put("attention_factor", attention == null ? 1.0 : attention);
    }
    Long trained = contents.metadata().natural(prefix + "original_context_length");
    scaling.put(
        "original_max_position_embeddings",
        trained == null ? config.path("max_position_embeddings").asLong() : trained);
  }

  private static void partial(Long rotated, ObjectNode config) {
    int headSize = headSize(config);
    if (rotated != null && headSize > 0 && rotated != headSize) {
      double factor = (double) rotated / headSize;
      // The reader multiplies and truncates.
      config.put(
          "partial_rotary_factor",
          (long) (headSize * factor) < rotated ? Math.nextUp(factor) : factor);
    }
  }

  private static void scaling(GgufContents contents, String prefix, ObjectNode config) {
    Metadata metadata = contents.metadata();
    String type = metadata.text(prefix + "type");
    Double factor = metadata.number(prefix + "factor");
    Long trained = metadata.natural(prefix + "original_context_length");
    if (type == null || type.equals("none") || type.equals("longrope")) {
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
                  "key '%stype' is '%s', but none, linear, yarn or longrope is computed"
                      .formatted(prefix, type));
    }
  }
}
