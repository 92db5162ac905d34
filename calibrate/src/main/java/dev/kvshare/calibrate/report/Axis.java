package dev.kvshare.calibrate.report;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;

/** Places of numbers along an axis. */
final class Axis {
  private Axis() {}

  /**
   * A number on an axis.
   *
   * @param at its place in CSS pixels
   * @param label its text
   */
  record Tick(double at, String label) {}

  /** About {@code wanted} round numbers (1, 2 or 5 times a power of ten apart) in a range. */
  static List<Double> round(double least, double most, int wanted) {
    double rough = Math.max(most - least, 1e-9) / wanted;
    double power = Math.pow(10, Math.floor(Math.log10(rough)));
    double step = power * 10;
    for (int factor : new int[] {5, 2, 1}) {
      if (power * factor >= rough * 0.8) {
        step = power * factor;
      }
    }
    List<Double> numbers = new ArrayList<>();
    for (long i = (long) Math.ceil(least / step - 1e-9); i * step <= most + step * 1e-9; i++) {
      numbers.add(i * step);
    }
    return numbers;
  }

  /** A number without the noise of binary fractions. */
  static String label(double number) {
    BigDecimal rounded = new BigDecimal(number).round(new MathContext(6));
    return rounded.signum() == 0 ? "0" : rounded.stripTrailingZeros().toPlainString();
  }
}
