package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.model.ModelConfig;

/** The tensor names that Llama introduced and many families took over. */
final class LlamaNames {

  private LlamaNames() {}

  /** The prefix of one layer. */
  static Weights layer(int layer) {
    return new Weights("model.layers." + layer + ".");
  }

  /** The key projection of one layer. */
  static String key(int layer) {
    return "model.layers." + layer + ".self_attn.k_proj.weight";
  }

  /** Separate query, key, value and output projections under {@code self_attn}. */
  static Weights attention(
      Weights weights, Dimensions sizes, boolean queryKeyValueBias, boolean outputBias) {
    return weights
        .queryKeyValue(
            sizes, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", queryKeyValueBias)
        .linear(
            WeightRole.OUTPUT, "self_attn.o_proj", sizes.hidden(), sizes.queryRows(), outputBias);
  }

  /** Query and output projections alone, of a layer that reads another one's keys and values. */
  static Weights queryAttention(Weights weights, Dimensions sizes, boolean biased) {
    return weights
        .linear(
            WeightRole.QUERY_KEY_VALUE,
            "self_attn.q_proj",
            sizes.queryRows(),
            sizes.hidden(),
            biased)
        .linear(WeightRole.OUTPUT, "self_attn.o_proj", sizes.hidden(), sizes.queryRows(), biased);
  }

  /** Separate gate, up and down projections under {@code mlp}. */
  static Weights gatedMlp(Weights weights, Dimensions sizes, int inner, boolean biased) {
    return weights
        .gateUp("mlp.gate_proj", "mlp.up_proj", inner, sizes.hidden(), biased)
        .linear(WeightRole.DOWN, "mlp.down_proj", sizes.hidden(), inner, biased);
  }

  /** One norm before each part. */
  static Weights norms(Weights weights, Dimensions sizes) {
    return weights
        .norm(WeightRole.ATTENTION_NORM, "input_layernorm", sizes.hidden())
        .norm(WeightRole.FEED_FORWARD_NORM, "post_attention_layernorm", sizes.hidden());
  }

  /** One layer norm with bias before each part. */
  static Weights layerNorms(Weights weights, Dimensions sizes) {
    return weights
        .layerNorm(WeightRole.ATTENTION_NORM, "input_layernorm", sizes.hidden())
        .layerNorm(WeightRole.FEED_FORWARD_NORM, "post_attention_layernorm", sizes.hidden());
  }

  /** Embedding and head. */
  static Weights outer(ModelConfig config, Dimensions sizes, boolean tiedWhereAbsent) {
    Weights weights =
        new Weights("")
            .matrix(WeightRole.EMBEDDING, "model.embed_tokens", sizes.vocabulary(), sizes.hidden());
    if (!config.bool("tie_word_embeddings", tiedWhereAbsent)) {
      weights.matrix(WeightRole.HEAD, "lm_head", sizes.vocabulary(), sizes.hidden());
    }
    return weights;
  }

  /** Embedding, final norm and head. */
  static Weights outerWithNorm(ModelConfig config, Dimensions sizes, boolean tiedWhereAbsent) {
    return outer(config, sizes, tiedWhereAbsent)
        .norm(WeightRole.FINAL_NORM, "model.norm", sizes.hidden());
  }
}
