package dev.kvshare.apply.model.gguf;

/** Qwen 3: norms of queries and keys. */
final class Qwen3Architecture {
  private Qwen3Architecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("qwen3", "qwen3")
            .constant("hidden_act", "silu")
            .number("attention.layer_norm_rms_epsilon", "rms_norm_eps")
            .biasFlag("attention_bias", "blk.0.attn_q.bias");
    LlamaNames.outer(table);
    LlamaNames.norms(table);
    LlamaNames.attention(table);
    LlamaNames.gatedMlp(table);
    return table
        .tensor("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm")
        .tensor("blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm");
  }
}
