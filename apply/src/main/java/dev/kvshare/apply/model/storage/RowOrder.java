package dev.kvshare.apply.model.storage;

/** In which order a file stores the rows of a tensor. */
public sealed interface RowOrder {

  /** As in the Hugging Face model. */
  record AsIs() implements RowOrder {}

  /**
   * Llama query and key projections in GGUF: each head's rows are interleaved for llama.cpp's form
   * of rotary embedding, so row {@code 2j + a} of a head holds row {@code a * D/2 + j}.
   *
   * @param headSize D, rows of one head
   */
  record InterleavedHeads(int headSize) implements RowOrder {

    /** The stored row that holds the given row of the model. */
    public long stored(long row) {
      long head = row / headSize;
      int within = (int) (row % headSize);
      int half = headSize / 2;
      return head * headSize + 2L * (within % half) + within / half;
    }
  }

  /** Rows and columns exchanged (two axes). */
  record Transposed() implements RowOrder {}
}
