package dev.kvshare.apply.policy;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;

/**
 * The fixed number format of the policy file: nine significant digits. {@link
 * Double#toString(double)} does not serve, since it differs between Java versions.
 */
final class Digits {
  private static final MathContext NINE = new MathContext(9, RoundingMode.HALF_EVEN);

  private Digits() {}

  /** Returns {@code value} rounded to nine significant digits, null for null. */
  static Double round(Double value) {
    return value == null ? null : Double.valueOf(decimal(value).doubleValue());
  }

  /** Returns the number that the file holds for {@code value}, without trailing zeros. */
  static BigDecimal decimal(double value) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException("a policy cannot hold the number " + value);
    }
    BigDecimal rounded = new BigDecimal(value).round(NINE);
    return rounded.signum() == 0 ? BigDecimal.ZERO : rounded.stripTrailingZeros();
  }
}
