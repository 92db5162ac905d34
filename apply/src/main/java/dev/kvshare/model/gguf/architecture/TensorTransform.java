package dev.kvshare.model.gguf.architecture;

/** What the converter of llama.cpp did to a tensor, and so what is undone when it is read. */
public enum TensorTransform {
  NONE,
  /** Rows of query heads interleaved for llama.cpp's rotary embedding. */
  INTERLEAVED_QUERY_HEADS,
  /** Rows of key heads interleaved for llama.cpp's rotary embedding. */
  INTERLEAVED_KEY_HEADS
}
