package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.gguf.Architecture.TensorTransform;

/** StableLM 2: layer norms, and with parallel parts only one of them a layer. */
final class StableLmArchitecture {
  private StableLmArchitecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("stablelm", "stablelm")
            .constant("hidden_act", "silu")
            .number("attention.layer_norm_epsilon", "layer_norm_eps")
            .biasFlag("use_qkv_bias", "blk.0.attn_q.bias")
            .biasFlag("qk_layernorm", "blk.0.attn_q_norm.weight")
            .ignored("use_parallel_residual")
            .derive(
                // As in llama.cpp, the tensors decide and not the key, which older files have
                // wrong.
                (contents, config) ->
                    config.put(
                        "use_parallel_residual", !contents.hasTensor("blk.0.ffn_norm.weight")));
    LlamaNames.outer(table);
    LlamaNames.norms(table);
    LlamaNames.attention(table);
    LlamaNames.gatedMlp(table);
    return table
        .tensor(
            "blk.{}.attn_q_norm",
            "model.layers.{}.self_attn.q_layernorm.norms.{}",
            TensorTransform.STACKED_HEADS)
        .tensor(
            "blk.{}.attn_k_norm",
            "model.layers.{}.self_attn.k_layernorm.norms.{}",
            TensorTransform.STACKED_HEADS);
  }
}
