package dev.kvshare.eval.check;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;

/**
 * How computed and stored outputs differ.
 *
 * @param tensors the compared tensors
 * @param greedy the compared greedy continuation, or null if the file has none
 */
public record CheckResult(List<TensorDifference> tensors, GreedyDifference greedy) {
  /** Copies the list. */
  public CheckResult {
    tensors = List.copyOf(tensors);
  }

  /** Returns whether every difference is within the tolerance. */
  public boolean passed() {
    return tensors.stream().allMatch(TensorDifference::passed)
        && (greedy == null || greedy.passed());
  }

  /** Returns the largest absolute difference of all tensors. */
  public double maxDifference() {
    return tensors.stream().mapToDouble(TensorDifference::maxDifference).max().orElse(0);
  }

  /**
   * The differences of one tensor.
   *
   * @param tensor its name in the file
   * @param shape its shape in the file
   * @param meanDifference mean of the absolute differences
   * @param largest the elements that differ most, the largest difference first
   * @param passed whether the largest absolute difference is within the tolerance
   */
  public record TensorDifference(
      String tensor,
      List<Long> shape,
      double meanDifference,
      List<Element> largest,
      boolean passed) {
    /** Copies the lists. */
    public TensorDifference {
      shape = List.copyOf(shape);
      largest = List.copyOf(largest);
    }

    /** Returns the largest absolute difference. */
    public double maxDifference() {
      return largest.get(0).difference();
    }

    /** Compares the elements of one tensor, some at a time. */
    static final class Comparison {
      private static final int SHOWN = 5;

      /** An element by its place in row-major order. */
      private record Place(long place, float expected, float found, double difference) {}

      private final PriorityQueue<Place> largest =
          new PriorityQueue<>(Comparator.comparingDouble(Place::difference));
      private double sum;
      private long elements;

      /** Compares elements that follow each other from {@code place} on. */
      void add(long place, float[] expected, float[] found, int foundFrom) {
        for (int i = 0; i < expected.length; i++) {
          float stored = expected[i];
          float computed = found[foundFrom + i];
          double difference = Math.abs((double) stored - computed);
          difference = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
          sum += difference;
          if (largest.size() < SHOWN || difference > largest.peek().difference()) {
            largest.add(new Place(place + i, stored, computed, difference));
            if (largest.size() > SHOWN) {
              largest.poll();
            }
          }
        }
        elements += expected.length;
      }

      TensorDifference result(String tensor, List<Long> shape, double tolerance) {
        List<Element> shown = new ArrayList<>();
        while (!largest.isEmpty()) {
          Place place = largest.poll();
          shown.add(0, new Element(index(shape, place.place()), place.expected(), place.found()));
        }
        boolean passed = shown.get(0).difference() <= tolerance;
        return new TensorDifference(tensor, shape, sum / elements, shown, passed);
      }

      private static List<Integer> index(List<Long> shape, long element) {
        List<Integer> index = new ArrayList<>();
        long rest = element;
        for (int axis = shape.size() - 1; axis >= 0; axis--) {
          index.add(0, (int) (rest % shape.get(axis)));
          rest /= shape.get(axis);
        }
        return index;
      }
    }
  }

  /**
   * One element of a tensor.
   *
   * @param index its place, one number a dimension
   * @param expected the stored value
   * @param found the computed value
   */
  public record Element(List<Integer> index, double expected, double found) {
    /** Copies the list. */
    public Element {
      index = List.copyOf(index);
    }

    /** Returns the absolute difference; infinite if a value is not a number. */
    public double difference() {
      double difference = Math.abs(expected - found);
      return Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
    }
  }

  /**
   * The comparison of a greedy continuation of the first sequence.
   *
   * @param tokens stored tokens
   * @param equal how many of them are equal from the start
   * @param expectedToken the stored token at the first difference, or -1
   * @param foundToken the computed token there, or -1
   * @param margin by how much the logit of the computed token exceeds that of the stored one there;
   *     0 without a difference
   * @param passed whether all are equal, or the two are tied within the tolerance
   */
  public record GreedyDifference(
      int tokens, int equal, int expectedToken, int foundToken, double margin, boolean passed) {}
}
