package dev.kvshare.eval.check;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.PlanDescription;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Says how computed outputs differ from stored ones. */
public final class CheckDescription {
  private CheckDescription() {}

  /** Lines under names, in the order to print them. */
  public static Map<String, List<String>> of(CheckResult result, CheckRequest request) {
    Map<String, List<String>> facts = new LinkedHashMap<>();
    facts.put("run", run(request));
    double tolerance = request.tolerance();
    for (CheckResult.TensorDifference tensor : result.tensors()) {
      facts.put(tensor.tensor() + shape(tensor.shape()), lines(tensor));
    }
    if (result.greedy() != null) {
      facts.put("greedy", List.of(line(result.greedy())));
    }
    facts.put(
        "result",
        List.of(
            result.passed()
                ? "passed: nothing differs by more than " + tolerance
                : "NOT passed: a difference is above the tolerance of " + tolerance));
    return facts;
  }

  private static List<String> run(CheckRequest request) {
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

  private static String shape(List<Long> shape) {
    return shape.toString().replace(" ", "");
  }

  private static List<String> lines(CheckResult.TensorDifference tensor) {
    List<String> lines = new ArrayList<>();
    lines.add(
        format(
            "largest difference %.3g, mean %.3g", tensor.maxDifference(), tensor.meanDifference()));
    for (CheckResult.Element element : tensor.largest()) {
      lines.add(
          format(
              "  at %s: %.6g instead of %.6g",
              element.index(), element.found(), element.expected()));
    }
    return lines;
  }

  private static String line(CheckResult.GreedyDifference greedy) {
    if (greedy.equal() == greedy.tokens()) {
      return "all " + greedy.tokens() + " tokens equal";
    }
    return format(
        "%d of %d tokens equal, then %d instead of %d, whose logit is lower by %.3g",
        greedy.equal(),
        greedy.tokens(),
        greedy.foundToken(),
        greedy.expectedToken(),
        greedy.margin());
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }
}
