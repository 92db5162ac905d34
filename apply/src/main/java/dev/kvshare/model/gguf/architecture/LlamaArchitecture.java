package dev.kvshare.model.gguf.architecture;

/** Llama 1 to 3, SmolLM2, Mistral and others of the same computation. */
final class LlamaArchitecture {
  private LlamaArchitecture() {}

  static Architecture table() {
    return CommonKeys.of("llama")
        .constant("model_type", "llama")
        .constant("hidden_act", "silu")
        .number("attention.layer_norm_rms_epsilon", "rms_norm_eps")
        .optionalNatural("attention.key_length", "head_dim")
        .biasFlag("attention_bias", "blk.0.attn_q.bias")
        .biasFlag("mlp_bias", "blk.0.ffn_gate.bias")
        .tensor("token_embd", "model.embed_tokens")
        .tensor("output_norm", "model.norm")
        .tensor("output", "lm_head")
        .tensor("blk.{}.attn_norm", "model.layers.{}.input_layernorm")
        .tensor(
            "blk.{}.attn_q",
            "model.layers.{}.self_attn.q_proj",
            TensorTransform.INTERLEAVED_QUERY_HEADS)
        .tensor(
            "blk.{}.attn_k",
            "model.layers.{}.self_attn.k_proj",
            TensorTransform.INTERLEAVED_KEY_HEADS)
        .tensor("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj")
        .tensor("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj")
        .tensor("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm")
        .tensor("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj")
        .tensor("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj")
        .tensor("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj");
  }
}
