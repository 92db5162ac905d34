package dev.kvshare.eval.quality;

import static dev.kvshare.eval.format.ReportTable.format;
import static dev.kvshare.eval.format.ReportTable.number;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.eval.format.EvaluationTable;
import dev.kvshare.eval.format.ReportContent;
import dev.kvshare.eval.format.ReportJson;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;

/** What ending passes early does, as it is printed. */
public final class EarlyStopTable {
  private EarlyStopTable() {}

  public static ReportContent of(EarlyStopReport report) {
    boolean withSpeed = report.rows().get(0).speed() != null;
    List<List<String>> cells = new ArrayList<>();
    List<String> head =
        new ArrayList<>(
            List.of(
                "policy",
                "stop early",
                "passes",
                "layers/token",
                "hidden change",
                "logit difference",
                "perplexity",
                "divergence",
                "same token"));
    if (withSpeed) {
      head.add("prefill ms");
    }
    cells.add(head);
    report.rows().forEach(row -> cells.add(cells(row)));
    return new ReportContent(
        cells,
        report.rows().stream().map(EarlyStopTable::object).toList(),
        report.windows(),
        report.warnings());
  }

  private static List<String> cells(EarlyStopRow row) {
    boolean unshared = row.policy() == null;
    List<String> cells =
        new ArrayList<>(
            List.of(
                unshared ? EvaluationTable.UNSHARED : row.policy(),
                row.tolerance() == 0 ? "-" : decimal(row.tolerance()),
                unshared ? "-" : format("%.1f", row.passes()),
                format("%.1f", row.layersPerToken()),
                unshared ? "-" : difference(row.hiddenChange()),
                unshared ? "-" : difference(row.logitDifference()),
                number(row.perplexity()),
                unshared ? "-" : format("%.5f", Math.max(0, row.divergence())),
                unshared ? "-" : format("%.1f %%", 100 * row.agreement())));
    if (row.speed() != null) {
      cells.add(number(1000 * row.speed().prefillSeconds()));
    }
    return cells;
  }

  /** Without an exponent. */
  private static String decimal(double tolerance) {
    return new BigDecimal(Double.toString(tolerance)).stripTrailingZeros().toPlainString();
  }

  private static String difference(double value) {
    return value == 0 ? "0" : format("%.2g", value);
  }

  private static ObjectNode object(EarlyStopRow row) {
    ObjectNode node = ReportJson.newObject();
    node.put("policy", row.policy());
    node.put("tolerance", row.tolerance());
    ReportJson.putNumber(node, "passes", row.passes());
    ReportJson.putNumber(node, "layers_per_token", row.layersPerToken());
    ReportJson.putNumber(node, "hidden_change", row.hiddenChange());
    ReportJson.putNumber(node, "logit_difference", row.logitDifference());
    ReportJson.putNumber(node, "perplexity", row.perplexity());
    ReportJson.putNumber(node, "divergence", row.divergence());
    ReportJson.putNumber(node, "same_token_fraction", row.agreement());
    ReportJson.putNumber(
        node, "prefill_seconds", row.speed() == null ? Double.NaN : row.speed().prefillSeconds());
    return node;
  }
}
