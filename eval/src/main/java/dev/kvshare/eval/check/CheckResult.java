package dev.kvshare.eval.check;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.eval.check.CheckpointCheck.Request;
import dev.kvshare.eval.format.Table;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;

/**
 * How computed and stored outputs differ.
 *
 * @param request what was compared
 * @param tensors the compared tensors
 * @param greedy the compared greedy continuation, or null if the file has none
 */
public record CheckResult(
    Request request, List<TensorDifference> tensors, GreedyDifference greedy) {
  /** Whether every difference is within the tolerance. */
  public boolean passed() {
    return tensors.stream().allMatch(TensorDifference::passed)
        && (greedy == null || greedy.passed());
  }

  /** The largest absolute difference of all tensors. */
  public double maxDifference() {
    return tensors.stream().mapToDouble(TensorDifference::maxDifference).max().orElse(0);
  }

  /** In words: lines under names, in the order to print them. */
  public Map<String, List<String>> facts() {
    Map<String, List<String>> facts = new LinkedHashMap<>();
    facts.put("run", run(request));
    double tolerance = request.tolerance();
    for (TensorDifference tensor : tensors) {
      facts.put(tensor.tensor() + tensor.shape().toString().replace(" ", ""), tensor.lines());
    }
    if (greedy != null) {
      facts.put("greedy", List.of(line(greedy)));
    }
    facts.put(
        "result",
        List.of(
            passed()
                ? "passed: nothing differs by more than " + tolerance
                : "NOT passed: a difference is above the tolerance of " + tolerance));
    return facts;
  }

  private static List<String> run(Request request) {
    List<String> lines = new ArrayList<>();
    Plan plan = request.plan();
    lines.add(plan.map().toString());
    if (plan.map().hasUpwardSources()) {
      lines.add("prompts: " + PlanDescription.reading(plan.upward()));
    }
    if (plan.windows() != null && plan.windows().first() > 0) {
      lines.addAll(PlanDescription.ends(plan));
    } else if (plan.windows() != null) {
      lines.add(
          "%s: a window of %d tokens"
              .formatted(PlanDescription.layers(plan.windowedLayers()), plan.windows().last()));
    }
    lines.add(
        request.prefillTokens() == 0
            ? "all tokens at once"
            : request.prefillTokens() + " tokens at once, the rest one by one");
    return lines;
  }

  private static String line(GreedyDifference greedy) {
    if (greedy.equal() == greedy.tokens()) {
      return "all " + greedy.tokens() + " tokens equal";
    }
    return Table.format(
        "%d of %d tokens equal, then %d instead of %d, whose logit is lower by %.3g",
        greedy.equal(),
        greedy.tokens(),
        greedy.foundToken(),
        greedy.expectedToken(),
        greedy.margin());
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
    private List<String> lines() {
      List<String> lines = new ArrayList<>();
      lines.add(
          Table.format("largest difference %.3g, mean %.3g", maxDifference(), meanDifference));
      for (Element at : largest) {
        lines.add(
            Table.format("  at %s: %.6g instead of %.6g", at.index(), at.found(), at.expected()));
      }
      return lines;
    }

    public double maxDifference() {
      return largest.get(0).difference();
    }

    /** Compares the elements of a tensor of one shape, some at a time. */
    static final class Comparison {
      private static final int SHOWN = 5;

      private final List<Long> shape;
      private final PriorityQueue<Element> largest =
          new PriorityQueue<>(Comparator.comparingDouble(Element::difference));
      private double sum;
      private long elements;

      Comparison(List<Long> shape) {
        this.shape = shape;
      }

      /** Compares elements that follow each other from {@code place} on. */
      void add(long place, float[] expected, float[] found, int foundFrom) {
        for (int i = 0; i < expected.length; i++) {
          double difference = Element.difference(expected[i], found[foundFrom + i]);
          sum += difference;
          if (largest.size() < SHOWN || difference > largest.peek().difference()) {
            largest.add(new Element(index(place + i), expected[i], found[foundFrom + i]));
            if (largest.size() > SHOWN) {
              largest.poll();
            }
          }
        }
        elements += expected.length;
      }

      TensorDifference result(String tensor, double tolerance) {
        List<Element> shown = new ArrayList<>();
        while (!largest.isEmpty()) {
          shown.add(0, largest.poll());
        }
        boolean passed = shown.get(0).difference() <= tolerance;
        return new TensorDifference(tensor, shape, sum / elements, List.copyOf(shown), passed);
      }

      private List<Integer> index(long element) {
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
    /** The absolute difference; infinite if a value is not a number. */
    public double difference() {
      return difference(expected, found);
    }

    private static double difference(double expected, double found) {
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
