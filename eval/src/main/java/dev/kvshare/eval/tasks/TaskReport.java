package dev.kvshare.eval.tasks;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.eval.format.Chart;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Table;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.tasks.TaskItem.Response;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The scores of tasks.
 *
 * @param results one for each task
 * @param policies what the rows are named by, null for the unshared model, which is the first
 * @param run what is needed to measure it again
 */
public record TaskReport(List<Result> results, List<String> policies, ObjectNode run) {

  /**
   * What was measured of a task.
   *
   * @param responses by policy and item, of the first items
   */
  public record Result(TaskSchema.Items task, List<List<Response>> responses) {
    int asked() {
      return responses.get(0).size();
    }

    /** The scores of one policy: an array over the items for each name. */
    double[] scores(int policy, String name) {
      return IntStream.range(0, asked())
          .mapToDouble(
              i -> task.schema().score(task.items().get(i), responses.get(policy).get(i)).get(name))
          .toArray();
    }

    List<String> names() {
      Map<String, Double> first = task.schema().score(task.items().get(0), responses.get(0).get(0));
      return List.copyOf(first.keySet());
    }
  }

  /** A mean with its standard error, that of the mean over the items. */
  public static Estimate mean(double[] values) {
    double mean = Arrays.stream(values).average().orElseThrow();
    double squares = Arrays.stream(values).map(value -> (value - mean) * (value - mean)).sum();
    return new Estimate(mean, Math.sqrt(squares / (values.length - 1) / values.length));
  }

  /** A row a task, score and policy. */
  public Report report() {
    List<List<String>> cells = new ArrayList<>();
    cells.add(List.of("task", "score", "policy", "value", "change"));
    List<ObjectNode> rows = new ArrayList<>();
    List<String> notes = new ArrayList<>();
    List<String> warnings = new ArrayList<>();
    List<Chart> charts = new ArrayList<>();
    ObjectNode about = Report.newRow();
    about.set("run", run);
    for (Result result : results) {
      TaskSchema.Items task = result.task();
      int all = task.items().size();
      notes.add(
          "%s: %s, %d items without examples, asked and scored as lm-evaluation-harness does"
              .formatted(task.schema().title(), task.name(), result.asked()));
      if (result.asked() < all) {
        String part =
            "%s: only the first %d of %d items were asked. This is not a result, but a way to try a task out."
                .formatted(task.name(), result.asked(), all);
        notes.add(part);
        warnings.add(part);
      }
      for (String name : result.names()) {
        double[] unshared = result.scores(0, name);
        List<Chart.Series> bars = new ArrayList<>();
        for (int policy = 0; policy < policies.size(); policy++) {
          double[] scores = result.scores(policy, name);
          double[] changes = new double[scores.length];
          Arrays.setAll(changes, i -> scores[i] - unshared[i]);
          Estimate value = mean(scores);
          Estimate change = mean(changes);
          cells.add(
              List.of(
                  task.schema().title(),
                  name,
                  policies.get(policy) == null ? Variant.UNSHARED : policies.get(policy),
                  Table.format("%.4f ± %.4f", value.value(), value.standardError()),
                  policy == 0
                      ? ""
                      : Table.format("%+.4f ± %.4f", change.value(), change.standardError())));
          ObjectNode row = Report.newRow();
          row.put("task", task.schema().title());
          row.put("file", task.name());
          row.put("score", name);
          row.put("policy", policies.get(policy));
          row.put("items", result.asked());
          row.put("complete", result.asked() == all);
          row.put(
              "remark",
              result.asked() == all
                  ? null
                  : "not a result: %d of %d items".formatted(result.asked(), all));
          Report.putNumber(row, "value", value.value());
          Report.putNumber(row, "value_stderr", value.standardError());
          Report.putNumber(row, "change", change.value());
          Report.putNumber(row, "change_stderr", change.standardError());
          rows.add(row);
          String policyName = cells.get(cells.size() - 1).get(2);
          bars.add(Chart.bar(policyName, value.value(), value.standardError()));
        }
        charts.add(
            new Chart(
                task.schema().title() + ", " + name,
                "Mean of %d items of %s, with its standard error."
                    .formatted(result.asked(), task.name()),
                Chart.Kind.BARS,
                name,
                "policy",
                bars));
      }
    }
    return new Report(cells, rows, about, notes, warnings, charts);
  }
}
