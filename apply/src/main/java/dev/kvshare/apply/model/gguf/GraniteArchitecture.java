package dev.kvshare.apply.model.gguf;

/** Granite: Llama with scaled embedding, residual stream, scores and logits. */
final class GraniteArchitecture {
  private GraniteArchitecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("granite", "granite")
            .constant("hidden_act", "silu")
            .number("attention.layer_norm_rms_epsilon", "rms_norm_eps")
            .optionalNumber("attention.scale", "attention_multiplier")
            .optionalNumber("embedding_scale", "embedding_multiplier")
            .optionalNumber("residual_scale", "residual_multiplier")
            .optionalNumber("logit_scale", "logits_scaling")
            .biasFlag("attention_bias", "blk.0.attn_q.bias")
            .biasFlag("mlp_bias", "blk.0.ffn_gate.bias");
    LlamaNames.outer(table);
    LlamaNames.norms(table);
    LlamaNames.interleavedAttention(table);
    LlamaNames.gatedMlp(table);
    return table;
  }
}
