package dev.kvshare.apply.model.gguf;

/** StarCoder 2: layer norms, biases, a feed-forward part without gate. */
final class Starcoder2Architecture {
  private Starcoder2Architecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("starcoder2", "starcoder2")
            .constant("hidden_act", "gelu_pytorch_tanh")
            .number("attention.layer_norm_epsilon", "norm_epsilon")
            .biasFlag("use_bias", "blk.0.attn_q.bias")
            .derive(CommonKeys::slidingWindow);
    LlamaNames.outer(table);
    LlamaNames.norms(table);
    LlamaNames.attention(table);
    return table
        .tensor("blk.{}.ffn_up", "model.layers.{}.mlp.c_fc")
        .tensor("blk.{}.ffn_down", "model.layers.{}.mlp.c_proj");
  }
}
