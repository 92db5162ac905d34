package dev.kvshare.apply.model.storage;

/** Conversions between float32 and the two 16-bit formats, rounding to nearest, ties to even. */
public final class HalfPrecision {
  private HalfPrecision() {}

  /** Exact; NaN stays NaN. */
  public static float fromFloat16(short half) {
    int sign = (half & 0x8000) << 16;
    int magnitude = (half & 0x7fff) << 13;
    // Exponent and mantissa in place, the bias is corrected by a multiplication, which is exact for
    // normal and subnormal numbers alike.
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
