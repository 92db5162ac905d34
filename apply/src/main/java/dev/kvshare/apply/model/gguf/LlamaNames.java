package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.gguf.Architecture.TensorTransform;

/** The tensors that Llama and its descendants name alike. */
final class LlamaNames {
  private LlamaNames() {}

  /** Embedding, final norm and head. */
  static Architecture outer(Architecture table) {
    return table
        .tensor("token_embd", "model.embed_tokens")
        .tensor("output_norm", "model.norm")
        .tensor("output", "lm_head");
  }

  /** One norm before each part of a layer. */
  static Architecture norms(Architecture table) {
    return table
        .tensor("blk.{}.attn_norm", "model.layers.{}.input_layernorm")
        .tensor("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm");
  }

  /** Separate projections of queries, keys and values, stored as the model has them. */
  static Architecture attention(Architecture table) {
    return attention(table, TensorTransform.NONE, TensorTransform.NONE);
  }

  /** The same with heads interleaved for llama.cpp's rotary embedding. */
  static Architecture interleavedAttention(Architecture table) {
    return attention(
        table, TensorTransform.INTERLEAVED_QUERY_HEADS, TensorTransform.INTERLEAVED_KEY_HEADS);
  }

  /** A feed-forward part with a gate. */
  static Architecture gatedMlp(Architecture table) {
    return table
        .tensor("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj")
        .tensor("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj")
        .tensor("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj");
  }

  private static Architecture attention(
      Architecture table, TensorTransform queries, TensorTransform keys) {
    return table
        .tensor("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", queries)
        .tensor("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", keys)
        .tensor("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj")
        .tensor("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj");
  }
}
