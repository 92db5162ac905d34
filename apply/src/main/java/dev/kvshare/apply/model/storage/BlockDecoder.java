package dev.kvshare.apply.model.storage;

/** Unpacks stored blocks of one data type. Stateless. */
@FunctionalInterface
public interface BlockDecoder {

  /**
   * Decodes whole blocks.
   *
   * @param blocks stored bytes; block b starts at byte b x block bytes
   * @param count number of blocks
   * @param values receives count x block size float32 values from index 0
   */
  void decode(byte[] blocks, int count, float[] values);
}
