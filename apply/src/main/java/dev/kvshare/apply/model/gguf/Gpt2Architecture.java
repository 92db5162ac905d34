package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.gguf.Architecture.TensorTransform;

/** GPT-2: learned positions, projections that Hugging Face stores [in, out]. */
final class Gpt2Architecture {
  private Gpt2Architecture() {}

  static Architecture table() {
    return Architecture.named("gpt2")
        .constant("model_type", "gpt2")
        .constant("activation_function", "gelu_new")
        .natural("block_count", "n_layer")
        .natural("context_length", "n_positions")
        .natural("embedding_length", "n_embd")
        .natural("feed_forward_length", "n_inner")
        .natural("attention.head_count", "n_head")
        .number("attention.layer_norm_epsilon", "layer_norm_epsilon")
        .ignored("vocab_size", "attention.head_count_kv")
        .tensor("token_embd", "transformer.wte")
        .tensor("position_embd", "transformer.wpe")
        .tensor("output_norm", "transformer.ln_f")
        .tensor("output", "lm_head")
        .tensor("blk.{}.attn_norm", "transformer.h.{}.ln_1")
        .tensor("blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", TensorTransform.TRANSPOSED)
        .tensor("blk.{}.attn_output", "transformer.h.{}.attn.c_proj", TensorTransform.TRANSPOSED)
        .tensor("blk.{}.ffn_norm", "transformer.h.{}.ln_2")
        .tensor("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", TensorTransform.TRANSPOSED)
        .tensor("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", TensorTransform.TRANSPOSED);
  }
}
