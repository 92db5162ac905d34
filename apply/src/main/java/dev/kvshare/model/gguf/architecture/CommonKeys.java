package dev.kvshare.model.gguf.architecture;

/** Keys that most architectures share. */
final class CommonKeys {
  private CommonKeys() {}

  static Architecture of(String architecture) {
    return Architecture.named(architecture)
        .natural("block_count", "num_hidden_layers")
        .natural("context_length", "max_position_embeddings")
        .natural("embedding_length", "hidden_size")
        .natural("feed_forward_length", "intermediate_size")
        .natural("attention.head_count", "num_attention_heads")
        .optionalNatural("attention.head_count_kv", "num_key_value_heads")
        .ignored("vocab_size", "tensor_data_layout", "rope.scaling.finetuned")
        .derive(RotaryKeys::derive);
  }
}
