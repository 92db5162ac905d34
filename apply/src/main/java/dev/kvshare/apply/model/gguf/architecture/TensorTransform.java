package dev.kvshare.apply.model.gguf.architecture;

/** What the converter of llama.cpp did to a tensor, and so what is undone when it is read. */
public enum TensorTransform {
  NONE,
  /** Rows of query heads interleaved for llama.cpp's rotary embedding. */
  INTERLEAVED_QUERY_HEADS,
  /** Rows of key heads interleaved for llama.cpp's rotary embedding. */
  INTERLEAVED_KEY_HEADS,
  /** A norm's weight with 1 added, where the Hugging Face model adds it when it computes. */
  ONE_ADDED,
  /** Rows and columns exchanged. */
  TRANSPOSED,
  /** Tensors of the heads stacked; the Hugging Face name has a second {@code {}} for the head. */
  STACKED_HEADS
}
