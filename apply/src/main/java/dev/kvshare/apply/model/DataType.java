package dev.kvshare.apply.model;

import java.util.Arrays;
import java.util.Optional;

/**
 * How the elements of a tensor are stored. A type is a sequence of blocks: {@link #blockSize()}
 * elements take {@link #blockBytes()} bytes. Plain types have one element a block.
 */
public enum DataType {
  F64(1, 8),
  F32(1, 4),
  F16(1, 2),
  BF16(1, 2),
  I64(1, 8),
  I32(1, 4),
  I16(1, 2),
  I8(1, 1),
  U64(1, 8),
  U32(1, 4),
  U16(1, 2),
  U8(1, 1),
  BOOL(1, 1),
  Q4_0(32, 18),
  Q4_1(32, 20),
  Q5_0(32, 22),
  Q5_1(32, 24),
  Q8_0(32, 34),
  Q2_K(256, 84),
  Q3_K(256, 110),
  Q4_K(256, 144),
  Q5_K(256, 176),
  Q6_K(256, 210);

  private final int blockSize;
  private final int blockBytes;

  DataType(int blockSize, int blockBytes) {
    this.blockSize = blockSize;
    this.blockBytes = blockBytes;
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

  /** Bytes of so many elements, which must fill whole blocks and not overflow. */
  public long bytes(long elements) {
    if (elements % blockSize != 0) {
      throw new ArithmeticException(
          elements + " elements do not fill whole blocks of " + blockSize + " (" + this + ")");
    }
    return Math.multiplyExact(elements / blockSize, blockBytes);
  }

  /** The type of this name, which is safetensors' {@code dtype} for plain types, ggml's for all. */
  public static Optional<DataType> named(String name) {
    return Arrays.stream(values()).filter(type -> type.name().equals(name)).findFirst();
  }

  /** Conversions between float32 and the two 16-bit formats, rounding to nearest, ties to even. */
  public static final class HalfPrecision {
    private HalfPrecision() {}

    /** Exact; NaN stays NaN. */
    public static float fromFloat16(short half) {
      int sign = (half & 0x8000) << 16;
      int magnitude = (half & 0x7fff) << 13;
      // Exponent and mantissa in place; a multiplication, which is exact, corrects the bias.
      float value = Float.intBitsToFloat(magnitude) * 0x1p112f;
      if (magnitude >= 0x0f800000) {
        value = Float.intBitsToFloat(magnitude | 0x7f800000);
      }
      return Float.intBitsToFloat(Float.floatToRawIntBits(value) | sign);
    }

    /** Exact. */
    public static float fromBfloat16(short bits) {
      return Float.intBitsToFloat(bits << 16);
    }

    /** Values above 65504 become infinite. */
    public static short toFloat16(float value) {
      int bits = Float.floatToRawIntBits(value);
      int sign = (bits >>> 16) & 0x8000;
      int magnitude = bits & 0x7fffffff;
      if (magnitude > 0x7f800000) {
        return (short) (sign | 0x7e00);
      }
      if (magnitude >= 0x47800000) {
        return (short) (sign | 0x7c00);
      }
      if (magnitude < 0x38800000) {
        // Subnormal: adding 0.5 aligns the mantissa so that the addition itself rounds.
        float aligned = Float.intBitsToFloat(magnitude) + 0.5f;
        return (short) (sign | (Float.floatToRawIntBits(aligned) - 0x3f000000));
      }
      int rebiased = magnitude - 0x38000000;
      return (short) (sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13));
    }

    /** NaN stays NaN. */
    public static short toBfloat16(float value) {
      int bits = Float.floatToRawIntBits(value);
      if ((bits & 0x7fffffff) > 0x7f800000) {
        return (short) ((bits >>> 16) | 0x40);
      }
      return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
    }
  }
}
