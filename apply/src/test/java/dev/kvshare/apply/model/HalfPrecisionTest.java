package dev.kvshare.apply.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.DataType.HalfPrecision;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HalfPrecisionTest {

  @Test
  void everyFloat16SurvivesTheRoundTrip() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float value = HalfPrecision.fromFloat16((short) bits);
      boolean nan = (bits & 0x7fff) > 0x7c00;
      assertEquals(nan, Float.isNaN(value), "bits " + bits);
      if (!nan) {
        assertEquals((short) bits, HalfPrecision.toFloat16(value), "bits " + bits);
        assertEquals(exact(bits), value, 0, "bits " + bits);
      }
    }
  }

  /** The value by the definition of IEEE 754 binary16. */
  private static double exact(int bits) {
    int exponent = (bits >> 10) & 0x1f;
    int mantissa = bits & 0x3ff;
    double magnitude =
        exponent == 0x1f
            ? Double.POSITIVE_INFINITY
            : exponent == 0
                ? Math.scalb((double) mantissa, -24)
                : Math.scalb(1024.0 + mantissa, exponent - 25);
    return (bits & 0x8000) == 0 ? magnitude : -magnitude;
  }

  @Test
  void everyBfloat16SurvivesTheRoundTrip() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float value = HalfPrecision.fromBfloat16((short) bits);
      if (!Float.isNaN(value)) {
        assertEquals((short) bits, HalfPrecision.toBfloat16(value), "bits " + bits);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    // Halfway cases go to the even neighbour.
    "1.00048828125, 3c00",
    "1.00146484375, 3c02",
    "1.000489, 3c01",
    // The largest value, the halfway point to infinity and beyond.
    "65504, 7bff",
    "65519.99, 7bff",
    "65520, 7c00",
    "1e9, 7c00",
    "-65520, -7c00",
    // Subnormal numbers and underflow.
    "5.9604645E-8, 0001",
    "2.9802322E-8, 0000",
    "2.98024E-8, 0001",
    "6.1035E-5, 0400"
  })
  void roundsToNearestFloat16(float value, String hex) {
    int expected = Integer.parseInt(hex.replace("-", ""), 16) | (hex.startsWith("-") ? 0x8000 : 0);
    assertEquals((short) expected, HalfPrecision.toFloat16(value));
  }

  @ParameterizedTest
  @CsvSource({"1.00390625, 3f80", "1.01171875, 3f82", "1.004, 3f81", "3.4028235E38, 7f80"})
  void roundsToNearestBfloat16(float value, String hex) {
    assertEquals((short) Integer.parseInt(hex, 16), HalfPrecision.toBfloat16(value));
  }

  @Test
  void keepsNan() {
    assertTrue(Float.isNaN(HalfPrecision.fromFloat16(HalfPrecision.toFloat16(Float.NaN))));
    float signalling = Float.intBitsToFloat(0x7f800001);
    assertTrue(Float.isNaN(HalfPrecision.fromBfloat16(HalfPrecision.toBfloat16(signalling))));
  }
}
