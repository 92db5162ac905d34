package dev.kvshare.apply.model.gguf;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;

/** Keys that most architectures share. */
final class CommonKeys {
  private static final String WINDOW = ".attention.sliding_window";
  private static final String WINDOW_PATTERN = ".attention.sliding_window_pattern";

  private CommonKeys() {}

  /** A table with the keys of sizes and rotary embedding. */
  static Architecture of(String architecture, String modelType) {
    return Architecture.named(architecture)
        .constant("model_type", modelType)
        .natural("block_count", "num_hidden_layers")
        .natural("context_length", "max_position_embeddings")
        .natural("embedding_length", "hidden_size")
        .natural("feed_forward_length", "intermediate_size")
        .natural("attention.head_count", "num_attention_heads")
        .optionalNatural("attention.head_count_kv", "num_key_value_heads")
        .optionalNatural("attention.key_length", "head_dim")
        .ignored("vocab_size", "tensor_data_layout", "rope.scaling.finetuned")
        .derive(CommonKeys::checkValueLength)
        .derive(RotaryKeys::derive);
  }

  /**
   * Adds {@code sliding_window}, where it is not 0, and {@code layer_types}: the pattern is a truth
   * value for each layer, or the length of a group of layers whose last one sees all positions.
   */
  static void slidingWindow(GgufContents contents, ObjectNode config) {
    Metadata metadata = contents.metadata();
    Long window = metadata.natural(contents.architecture() + WINDOW);
    if (window != null && window > 0) {
      config.put("sliding_window", window);
    }
    String key = contents.architecture() + WINDOW_PATTERN;
    List<Boolean> sliding = new ArrayList<>();
    if (metadata.isArray(key)) {
      sliding.addAll(metadata.flags(key));
    } else if (metadata.has(key)) {
      Long group = metadata.natural(key);
      for (int layer = 0; layer < config.path("num_hidden_layers").asInt(); layer++) {
        sliding.add(group == null || group == 0 || layer % group < group - 1);
      }
    }
    if (!sliding.isEmpty()) {
      ArrayNode types = config.putArray("layer_types");
      sliding.forEach(slides -> types.add(slides ? "sliding_attention" : "full_attention"));
    }
  }

  private static void checkValueLength(GgufContents contents, ObjectNode config) {
    String key = contents.architecture() + ".attention.value_length";
    Long value = contents.uniform(key);
    if (value != null && config.has("head_dim") && value != config.get("head_dim").asLong()) {
      contents
          .problems()
          .unsupported(
              "key '"
                  + key
                  + "' is "
                  + value
                  + ", but values as long as the keys ("
                  + config.get("head_dim")
                  + ") are computed");
    }
  }
}
