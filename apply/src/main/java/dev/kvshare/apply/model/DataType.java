package dev.kvshare.apply.model;

import java.util.Arrays;
import java.util.Optional;

/**
 * How the elements of a tensor are stored. A type is a sequence of blocks: {@link #blockSize()}
 * elements take {@link #blockBytes()} bytes. Plain types have one element a block.
 */
public enum DataType {
  F64(1, 8, "F64", 28),
  F32(1, 4, "F32", 0),
  F16(1, 2, "F16", 1),
  BF16(1, 2, "BF16", 30),
  I64(1, 8, "I64", 27),
  I32(1, 4, "I32", 26),
  I16(1, 2, "I16", 25),
  I8(1, 1, "I8", 24),
  U64(1, 8, "U64", -1),
  U32(1, 4, "U32", -1),
  U16(1, 2, "U16", -1),
  U8(1, 1, "U8", -1),
  BOOL(1, 1, "BOOL", -1),
  Q4_0(32, 18, null, 2),
  Q4_1(32, 20, null, 3),
  Q5_0(32, 22, null, 6),
  Q5_1(32, 24, null, 7),
  Q8_0(32, 34, null, 8),
  Q2_K(256, 84, null, 10),
  Q3_K(256, 110, null, 11),
  Q4_K(256, 144, null, 12),
  Q5_K(256, 176, null, 13),
  Q6_K(256, 210, null, 14);

  private final int blockSize;
  private final int blockBytes;
  private final String safetensorsName;
  private final int ggmlId;

  DataType(int blockSize, int blockBytes, String safetensorsName, int ggmlId) {
    this.blockSize = blockSize;
    this.blockBytes = blockBytes;
    this.safetensorsName = safetensorsName;
    this.ggmlId = ggmlId;
  }

  /** Elements in one block. */
  public int blockSize() {
    return blockSize;
  }

  /** Bytes of one block. */
  public int blockBytes() {
    return blockBytes;
  }

  /** Whether blocks of several elements share their scale. */
  public boolean isQuantised() {
    return blockSize > 1;
  }

  /** Whether the decoder can ask for this type: F32, F16 or BF16. */
  public boolean isTarget() {
    return this == F32 || this == F16 || this == BF16;
  }

  /** Whether elements can be decoded to F32, F16 or BF16. */
  public boolean isDecodable() {
    return isTarget() || isQuantised();
  }

  /**
   * Bytes of the given number of elements.
   *
   * @throws ArithmeticException when the elements do not fill whole blocks or the result overflows
   */
  public long bytes(long elements) {
    if (elements % blockSize != 0) {
      throw new ArithmeticException(
          elements + " elements do not fill whole blocks of " + blockSize + " (" + this + ")");
    }
    return Math.multiplyExact(elements / blockSize, blockBytes);
  }

  /** The type of a safetensors header's {@code dtype}. */
  public static Optional<DataType> ofSafetensors(String name) {
    return Arrays.stream(values()).filter(type -> name.equals(type.safetensorsName)).findFirst();
  }

  /** The type of a GGUF tensor's {@code ggml_type} number. */
  public static Optional<DataType> ofGgml(int id) {
    return Arrays.stream(values()).filter(type -> id >= 0 && type.ggmlId == id).findFirst();
  }
}
