package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.ModelConfig;

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
public record Dimensions(
    int vocabulary,
    int hidden,
    int layers,
    int queryHeads,
    int keyValueHeads,
    int headSize,
    int maxPositions) {

  /** Several times the most of any published model. */
  public static final int MAX_LAYERS = 1024;

  /** Of a projection of queries. */
  private static final int MAX_ROWS = 1 << 24;

  /** Reads and checks the sizes; {@code head_dim} is E / Hq where absent. */
  public static Dimensions read(ModelConfig config) {
    int hidden = config.positive("hidden_size");
    int queryHeads = config.positive("num_attention_heads");
    int headSize =
        config.has("head_dim") ? config.positive("head_dim") : headSize(config, hidden, queryHeads);
    return read(config, hidden, queryHeads, headSize);
  }

  /** Reads and checks the sizes; {@code head_dim} is {@code headSize} where absent. */
  public static Dimensions read(ModelConfig config, int headSize) {
    int hidden = config.positive("hidden_size");
    int queryHeads = config.positive("num_attention_heads");
    return read(config, hidden, queryHeads, config.positiveOr("head_dim", headSize));
  }

  /** Sizes of a family in which every query head has a key/value head and D = E / Hq. */
  public static Dimensions withoutGroups(ModelConfig config) {
    int hidden = config.positive("hidden_size");
    int heads = config.positive("num_attention_heads");
    return of(config, hidden, heads, heads, headSize(config, hidden, heads));
  }

  private static Dimensions read(ModelConfig config, int hidden, int queryHeads, int headSize) {
    int keyValueHeads = config.positiveOr("num_key_value_heads", queryHeads);
    if (queryHeads % keyValueHeads != 0) {
      throw config.invalid(
          "num_key_value_heads",
          "a divisor of num_attention_heads (" + queryHeads + ") is expected");
    }
    return of(config, hidden, queryHeads, keyValueHeads, headSize);
  }

  private static Dimensions of(
      ModelConfig config, int hidden, int queryHeads, int keyValueHeads, int headSize) {
    if ((long) queryHeads * headSize > MAX_ROWS) {
      throw config.invalid(
          "num_attention_heads",
          "with heads of %,d numbers at most %,d are expected"
              .formatted(headSize, MAX_ROWS / headSize));
    }
    return new Dimensions(
        config.positive("vocab_size"),
        hidden,
        config.count("num_hidden_layers", MAX_LAYERS),
        queryHeads,
        keyValueHeads,
        headSize,
        config.positive("max_position_embeddings"));
  }

  private static int headSize(ModelConfig config, int hidden, int queryHeads) {
    if (hidden % queryHeads != 0) {
      throw config.invalid(
          "hidden_size",
          "a multiple of num_attention_heads (%d) is expected, for there is no head_dim"
              .formatted(queryHeads));
    }
    return hidden / queryHeads;
  }

  /** Rows of the query projection, Hq*D. */
  public int queryRows() {
    return queryHeads * headSize;
  }

  /** Rows of the key or the value projection, Hkv*D. */
  public int keyValueRows() {
    return keyValueHeads * headSize;
  }
}
