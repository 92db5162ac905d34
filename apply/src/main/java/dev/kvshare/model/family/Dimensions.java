package dev.kvshare.model.family;

import dev.kvshare.model.ModelConfig;

/**
 * The sizes that nearly every family states under the same keys.
 *
 * @param vocabulary V, {@code vocab_size}
 * @param hidden E, {@code hidden_size}
 * @param layers L, {@code num_hidden_layers}
 * @param queryHeads Hq, {@code num_attention_heads}
 * @param keyValueHeads Hkv, {@code num_key_value_heads}; Hq where absent
 * @param headSize D, {@code head_dim}; E / Hq where absent
 * @param maxPositions {@code max_position_embeddings}
 */
record Dimensions(
    int vocabulary,
    int hidden,
    int layers,
    int queryHeads,
    int keyValueHeads,
    int headSize,
    int maxPositions) {

  /** Reads and checks the sizes. */
  static Dimensions read(ModelConfig config) {
    int hidden = config.positive("hidden_size");
    int queryHeads = config.positive("num_attention_heads");
    int keyValueHeads = config.positiveOr("num_key_value_heads", queryHeads);
    if (queryHeads % keyValueHeads != 0) {
      throw config.invalid(
          "num_key_value_heads",
          "a divisor of num_attention_heads (" + queryHeads + ") is expected");
    }
    return new Dimensions(
        config.positive("vocab_size"),
        hidden,
        config.positive("num_hidden_layers"),
        queryHeads,
        keyValueHeads,
        headSize(config, hidden, queryHeads),
        config.positive("max_position_embeddings"));
  }

  /** Whether E splits evenly: D where {@code head_dim} is absent. */
  static int headSize(ModelConfig config, int hidden, int queryHeads) {
    if (config.has("head_dim")) {
      return config.positive("head_dim");
    }
    if (hidden % queryHeads != 0) {
      throw config.invalid(
          "head_dim",
          "it cannot be derived: hidden_size (%d) is no multiple of num_attention_heads (%d)"
              .formatted(hidden, queryHeads));
    }
    return hidden / queryHeads;
  }

  /** Rows of the query projection, Hq*D. */
  int queryRows() {
    return queryHeads * headSize;
  }

  /** Rows of the key or the value projection, Hkv*D. */
  int keyValueRows() {
    return keyValueHeads * headSize;
  }

  /** 1 / sqrt(D), the usual scale of the scores. */
  double usualScale() {
    return 1 / Math.sqrt(headSize);
  }
}
