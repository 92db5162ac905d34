package dev.kvshare.eval.experiment;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Table;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;

/**
 * Methods side by side: what was measured of each plan on each text.
 *
 * @param plans in the order of the trials, each with the same texts
 */
public record Comparison(List<Measured> plans) {

  /**
   * One plan with everything that was measured of it.
   *
   * @param name of its trial
   * @param method how it was found
   * @param size layers that were to be reduced
   * @param reducedLayers layers that share or are windowed
   * @param searchSeconds what the search took
   * @param repairSeconds what the repair took
   * @param texts what was measured on each text
   */
  public record Measured(
      String name,
      String method,
      int size,
      int reducedLayers,
      double searchSeconds,
      double repairSeconds,
      List<OnText> texts) {}

  /**
   * Measurements on one text.
   *
   * @param text its name
   * @param unshared the unshared model, once for each cache policy if there are any
   * @param plain the plan with the checkpoint's weights
   * @param repaired with refitted weights; empty where it has none
   */
  public record OnText(String text, List<Row> unshared, List<Row> plain, List<Row> repaired) {
    /** The plan at its best: as repaired where it is. */
    Row best() {
      return (repaired.isEmpty() ? plain : repaired).get(0);
    }
  }

  /**
   * A row a size and method for people: several plans of one method, as of random seeds, are one
   * with means, whose standard error is that of the mean over the plans. For programs, a row a plan
   * and text.
   */
  public Report report() {
    List<List<String>> cells = new ArrayList<>();
    List<String> head = new ArrayList<>(List.of("method", "size", "plans", "layers"));
    for (OnText text : plans.get(0).texts()) {
      head.add(text.text() + " plain");
      head.add(text.text() + " repaired");
    }
    head.addAll(List.of("search s", "repair s"));
    cells.add(head);
    plans.stream()
        .collect(
            Collectors.groupingBy(
                plan -> plan.size() + " " + plan.method(), LinkedHashMap::new, Collectors.toList()))
        .values()
        .forEach(group -> cells.add(cells(group)));
    List<ObjectNode> rows =
        plans.stream()
            .flatMap(plan -> plan.texts().stream().map(text -> object(plan, text)))
            .toList();
    return new Report(cells, rows, Report.newRow(), List.of(), List.of());
  }

  private static List<String> cells(List<Measured> group) {
    Measured first = group.get(0);
    List<String> cells = new ArrayList<>();
    cells.add(first.method());
    cells.add(Integer.toString(first.size()));
    cells.add(Integer.toString(group.size()));
    cells.add(Table.format("%.3g", mean(group, Measured::reducedLayers)));
    for (int text = 0; text < first.texts().size(); text++) {
      int index = text;
      cells.add(ratio(group, plan -> plan.texts().get(index).plain().get(0).ratio()));
      cells.add(ratio(group, plan -> plan.texts().get(index).best().ratio()));
    }
    cells.add(Table.format("%.0f", mean(group, Measured::searchSeconds)));
    cells.add(Table.format("%.0f", mean(group, Measured::repairSeconds)));
    return cells;
  }

  private static String ratio(List<Measured> group, Function<Measured, Estimate> ratio) {
    double mean = mean(group, plan -> ratio.apply(plan).value());
    if (group.size() == 1) {
      return Table.format("%.3f ± %.3f", mean, ratio.apply(group.get(0)).standardError());
    }
    double squares = mean(group, plan -> Math.pow(ratio.apply(plan).value() - mean, 2));
    return Table.format("%.3f ± %.3f", mean, Math.sqrt(squares / (group.size() - 1)));
  }

  private static double mean(List<Measured> group, ToDoubleFunction<Measured> value) {
    return group.stream().mapToDouble(value).average().orElseThrow();
  }

  private static ObjectNode object(Measured plan, OnText text) {
    ObjectNode node = Report.newRow();
    node.put("name", plan.name());
    node.put("method", plan.method());
    node.put("size", plan.size());
    node.put("reduced_layers", plan.reducedLayers());
    node.put("text", text.text());
    Report.putNumber(node, "unshared_perplexity", text.unshared().get(0).perplexity().value());
    Row plain = text.plain().get(0);
    Report.putNumber(node, "plain_ratio", plain.ratio().value());
    Report.putNumber(node, "plain_ratio_stderr", plain.ratio().standardError());
    Report.putNumber(node, "plain_divergence", plain.divergence());
    Row best = text.best();
    Report.putNumber(node, "repaired_ratio", best.ratio().value());
    Report.putNumber(node, "repaired_ratio_stderr", best.ratio().standardError());
    Report.putNumber(node, "repaired_divergence", best.divergence());
    Report.putNumber(node, "kv_fraction", plain.kvFraction());
    Report.putNumber(node, "search_seconds", plan.searchSeconds());
    Report.putNumber(node, "repair_seconds", plan.repairSeconds());
    return node;
  }
}
