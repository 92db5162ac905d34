package dev.kvshare.eval.check;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;

/** Compares two tensors element by element. */
public final class Differences {
  private static final int SHOWN = 5;

  private Differences() {}

  /**
   * Compares.
   *
   * @param expected the stored elements, row-major
   * @param found as many computed ones
   */
  static CheckResult.TensorDifference of(
      String tensor, List<Long> shape, float[] expected, float[] found, double tolerance) {
    double sum = 0;
    PriorityQueue<Integer> largest =
        new PriorityQueue<>(Comparator.comparingDouble(i -> difference(expected[i], found[i])));
    for (int i = 0; i < expected.length; i++) {
      double difference = difference(expected[i], found[i]);
      sum += difference;
      if (largest.size() < SHOWN
          || difference > difference(expected[largest.peek()], found[largest.peek()])) {
        largest.add(i);
        if (largest.size() > SHOWN) {
          largest.poll();
        }
      }
    }
    List<CheckResult.Element> elements = new ArrayList<>();
    while (!largest.isEmpty()) {
      int i = largest.poll();
      elements.add(0, new CheckResult.Element(index(shape, i), expected[i], found[i]));
    }
    boolean passed = elements.get(0).difference() <= tolerance;
    return new CheckResult.TensorDifference(tensor, shape, sum / expected.length, elements, passed);
  }

  private static double difference(float expected, float found) {
    double difference = Math.abs((double) expected - found);
    return Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
  }

  private static List<Integer> index(List<Long> shape, int element) {
    List<Integer> index = new ArrayList<>();
    long rest = element;
    for (int axis = shape.size() - 1; axis >= 0; axis--) {
      index.add(0, (int) (rest % shape.get(axis)));
      rest /= shape.get(axis);
    }
    return index;
  }
}
