package dev.kvshare.apply.model.gguf;

/** Qwen 2 and 2.5. */
final class Qwen2Architecture {
  private Qwen2Architecture() {}

  static Architecture table() {
    Architecture table =
        CommonKeys.of("qwen2", "qwen2")
            .constant("hidden_act", "silu")
            .number("attention.layer_norm_rms_epsilon", "rms_norm_eps");
    LlamaNames.outer(table);
    LlamaNames.norms(table);
    LlamaNames.attention(table);
    LlamaNames.gatedMlp(table);
    return table;
  }
}
