package dev.kvshare.calibrate.report;

import dev.kvshare.calibrate.search.SearchOutcome;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The similarity of each tested candidate, by test. Lengths are in CSS pixels.
 *
 * @param width width of the picture
 * @param height height of the picture
 * @param left left end of the plot
 * @param right right end of the plot
 * @param top upper end of the plot
 * @param bottom lower end of the plot
 * @param points the tests
 * @param path SVG path data of the similarity of the best map
 * @param threshold height of the threshold line
 * @param thresholdLabel its number
 * @param xTicks numbers of tests
 * @param yTicks similarities
 */
record StepChart(
    int width,
    int height,
    int left,
    int right,
    int top,
    int bottom,
    List<Point> points,
    String path,
    double threshold,
    String thresholdLabel,
    List<Axis.Tick> xTicks,
    List<Axis.Tick> yTicks) {
  private static final int WIDTH = 960;
  private static final int HEIGHT = 330;
  private static final int LEFT = 64;
  private static final int RIGHT = WIDTH - 110;
  private static final int TOP = 18;
  private static final int BOTTOM = HEIGHT - 50;

  /**
   * A test.
   *
   * @param x its place
   * @param y its similarity's place
   * @param accepted whether it was accepted
   * @param title in words
   */
  record Point(double x, double y, boolean accepted, String title) {}

  static StepChart of(SearchOutcome outcome, double threshold) {
    List<SearchOutcome.Tested> tested = outcome.tested();
    double lowest =
        Math.min(
            threshold,
            tested.stream().mapToDouble(SearchOutcome.Tested::similarity).min().orElse(1));
    double least = Math.max(-1, lowest - 0.08 * (1 - lowest) - 1e-3);
    int tests = tested.size();
    List<Point> points = new ArrayList<>();
    StringBuilder path = new StringBuilder("M%d %d".formatted(LEFT, TOP));
    for (int test = 1; test <= tests; test++) {
      SearchOutcome.Tested candidate = tested.get(test - 1);
      double x = x(test, tests);
      double y = y(candidate.similarity(), least);
      points.add(new Point(x, y, candidate.accepted(), title(test, candidate)));
      if (candidate.accepted()) {
        path.append(String.format(Locale.ROOT, " H%.1f V%.1f", x, y));
      }
    }
    path.append(" H").append(RIGHT);
    List<Axis.Tick> xTicks = new ArrayList<>();
    for (double number : Axis.round(1, Math.max(1, tests), 12)) {
      if (number == Math.rint(number)) {
        xTicks.add(new Axis.Tick(x((int) number, tests), Axis.label(number)));
      }
    }
    List<Axis.Tick> yTicks = new ArrayList<>();
    for (double number : Axis.round(least, 1, 6)) {
      yTicks.add(new Axis.Tick(y(number, least), Axis.label(number)));
    }
    return new StepChart(
        WIDTH,
        HEIGHT,
        LEFT,
        RIGHT,
        TOP,
        BOTTOM,
        points,
        path.toString(),
        y(threshold, least),
        Axis.label(threshold),
        xTicks,
        yTicks);
  }

  private static String title(int test, SearchOutcome.Tested candidate) {
    return String.format(
        Locale.ROOT,
        "Test %d: layer %d reads %d, similarity %.6f, %s",
        test,
        candidate.pair().layer(),
        candidate.pair().source(),
        candidate.similarity(),
        candidate.accepted() ? "accepted" : "rejected");
  }

  private static double x(int test, int tests) {
    return round(LEFT + (RIGHT - LEFT) * (double) test / (tests + 1));
  }

  private static double y(double similarity, double least) {
    return round(TOP + (BOTTOM - TOP) * (1 - similarity) / (1 - least));
  }

  private static double round(double pixels) {
    return Math.round(pixels * 10) / 10.0;
  }

  /** Places of numbers along an axis. */
  static final class Axis {
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
}
