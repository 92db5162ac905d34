package dev.kvshare.cli.print;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.eval.check.CheckRequest;
import dev.kvshare.eval.check.CheckResult;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Says how computed outputs differ from stored ones. */
public final class CheckDescription {
  private CheckDescription() {}

  public static Facts of(CheckResult result, CheckRequest request) {
    Facts facts = new Facts().add("run", run(request));
    double tolerance = request.tolerance();
    for (CheckResult.TensorDifference tensor : result.tensors()) {
      facts.add(tensor.tensor() + shape(tensor.shape()), lines(tensor));
    }
    if (result.greedy() != null) {
      facts.add("greedy", line(result.greedy()));
    }
    return facts.add(
        "result",
        result.passed()
            ? "passed: nothing differs by more than " + tolerance
            : "NOT passed: a difference is above the tolerance of " + tolerance);
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
              .formatted(LayerRanges.text(plan.windowedLayers()), plan.windows().last()));
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
