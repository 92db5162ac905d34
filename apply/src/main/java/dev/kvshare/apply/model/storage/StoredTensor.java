package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.TensorInfo;

/**
 * A tensor and where it lies.
 *
 * @param info name and shape as in the Hugging Face model, stored type and size
 * @param file the file that holds it
 * @param offset first byte in the file
 * @param decoder unpacks its type; null for types that cannot be decoded to floating point
 * @param order the order of its stored rows
 * @param shift added to each value after decoding
 */
public record StoredTensor(
    TensorInfo info,
    ModelFile file,
    long offset,
    BlockDecoder decoder,
    RowOrder order,
    float shift) {

  /** A tensor stored as the model has it. */
  public static StoredTensor plain(
      TensorInfo info, ModelFile file, long offset, BlockDecoder decoder) {
    return new StoredTensor(info, file, offset, decoder, new RowOrder.AsIs(), 0);
  }

  /** Whether the stored values, in their order, are the model's. */
  public boolean isVerbatim() {
    return order instanceof RowOrder.AsIs && shift == 0;
  }
}
