package dev.kvshare.apply.model.gguf;

/** OLMo 2: norms behind each part, and of whole queries and keys. */
final class Olmo2Architecture {
  private Olmo2Architecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("olmo2", "olmo2")
            .constant("hidden_act", "silu")
            .number("attention.layer_norm_rms_epsilon", "rms_norm_eps")
            .biasFlag("attention_bias", "blk.0.attn_q.bias");
    LlamaNames.outer(table);
    LlamaNames.attention(table);
    LlamaNames.gatedMlp(table);
    return table
        .tensor("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm")
        .tensor("blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm")
        .tensor("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm")
        .tensor("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm");
  }
}
