package dev.kvshare.apply.model.gguf;

/** Llama 1 to 3, SmolLM2, Mistral and others of the same computation. */
final class LlamaArchitecture {
  private LlamaArchitecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("llama", "llama")
            .constant("hidden_act", "silu")
            .number("attention.layer_norm_rms_epsilon", "rms_norm_eps")
            .biasFlag("attention_bias", "blk.0.attn_q.bias")
            .biasFlag("mlp_bias", "blk.0.ffn_gate.bias");
    LlamaNames.outer(table);
    LlamaNames.norms(table);
    LlamaNames.interleavedAttention(table);
    LlamaNames.gatedMlp(table);
    return table;
  }
}
