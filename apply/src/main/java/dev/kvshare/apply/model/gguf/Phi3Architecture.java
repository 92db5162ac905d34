package dev.kvshare.apply.model.gguf;

/** Phi 3 and 4 mini: fused projections, LongRoPE. */
final class Phi3Architecture {
  private Phi3Architecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("phi3", "phi3")
            .constant("hidden_act", "silu")
            .number("attention.layer_norm_rms_epsilon", "rms_norm_eps")
            .optionalNatural(
                "rope.scaling.original_context_length", "original_max_position_embeddings")
            .derive(CommonKeys::slidingWindow);
    LlamaNames.outer(table);
    LlamaNames.norms(table);
    return table
        .tensor("blk.{}.attn_qkv", "model.layers.{}.self_attn.qkv_proj")
        .tensor("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj")
        .tensor("blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj")
        .tensor("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj");
  }
}
