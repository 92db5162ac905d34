package dev.kvshare.eval.format;

import static dev.kvshare.eval.format.ReportTable.format;
import static dev.kvshare.eval.format.ReportTable.number;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.eval.CacheSavings;
import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.EvaluationRow;
import dev.kvshare.eval.quality.Estimate;
import dev.kvshare.eval.speed.Speed;
import java.util.ArrayList;
import java.util.List;

/** The rows of an evaluation as they are printed. */
public final class EvaluationTable {
  public static final String UNSHARED = "(unshared)";
  public static final String WHOLE_CACHE = "(all)";

  private EvaluationTable() {}

  static ReportContent of(EvaluationReport report) {
    return new ReportContent(
        cells(report),
        report.rows().stream().map(EvaluationTable::object).toList(),
        report.windows(),
        report.warnings());
  }

  private static List<List<String>> cells(EvaluationReport report) {
    boolean withSpeed = report.rows().get(0).speed() != null;
    boolean withCache = report.rows().get(0).cache() != null;
    List<List<String>> cells = new ArrayList<>();
    List<String> head =
        new ArrayList<>(List.of("policy", "perplexity", "ratio", "divergence", "same token"));
    if (withCache) {
      head.add(1, "cache");
      head.addAll(List.of("sharing", "x method", "= KV cache", "KV bytes"));
    } else {
      head.addAll(List.of("KV cache", "KV bytes/token"));
    }
    if (withSpeed) {
      head.addAll(List.of("prefill tokens/s", "decode tokens/s", "prefill ms"));
    }
    cells.add(head);
    report.rows().forEach(row -> cells.add(cells(row)));
    return cells;
  }

  private static List<String> cells(EvaluationRow row) {
    List<String> cells = new ArrayList<>();
    cells.add(row.policy() == null ? UNSHARED : row.policy());
    cells.add(
        "%s ± %s"
            .formatted(number(row.perplexity().value()), number(row.perplexity().standardError())));
    boolean first = row.policy() == null && (row.cache() == null || row.cache().policy() == null);
    cells.add(first ? "1" : ratio(row.ratio()));
    cells.add(format("%.4f", row.divergence()));
    cells.add(format("%.1f %%", 100 * row.agreement()));
    CacheSavings cache = row.cache();
    if (cache != null) {
      cells.add(1, cache.policy() == null ? WHOLE_CACHE : cache.policy());
      cells.add(format("%.1f %%", 100 * cache.sharingFraction()));
      cells.add(format("%.1f %%", 100 * cache.policyFraction()));
    }
    cells.add(format("%.1f %%", 100 * row.kvFraction()));
    cells.add(format("%,d", cache == null ? row.kvBytesPerToken() : cache.bytes()));
    if (row.speed() != null) {
      cells.add(number(row.speed().prefillTokensPerSecond()));
      cells.add(number(row.speed().decodeTokensPerSecond()));
      cells.add(number(1000 * row.speed().prefillSeconds()));
    }
    return cells;
  }

  private static String ratio(Estimate ratio) {
    return Double.isNaN(ratio.standardError())
        ? format("%.3f", ratio.value())
        : format("%.3f ± %.3f", ratio.value(), ratio.standardError());
  }

  private static ObjectNode object(EvaluationRow row) {
    ObjectNode node = ReportJson.newObject();
    node.put("policy", row.policy());
    ReportJson.putNumber(node, "perplexity", row.perplexity().value());
    ReportJson.putNumber(node, "perplexity_stderr", row.perplexity().standardError());
    ReportJson.putNumber(node, "ratio", row.ratio().value());
    ReportJson.putNumber(node, "ratio_stderr", row.ratio().standardError());
    ReportJson.putNumber(node, "divergence", row.divergence());
    ReportJson.putNumber(node, "same_token_fraction", row.agreement());
    ReportJson.putNumber(node, "kv_fraction", row.kvFraction());
    node.put("kv_bytes_per_token", row.kvBytesPerToken());
    if (row.cache() != null) {
      node.put("cache", row.cache().policy());
      ReportJson.putNumber(node, "sharing_fraction", row.cache().sharingFraction());
      ReportJson.putNumber(node, "cache_fraction", row.cache().policyFraction());
      node.put("kv_bytes", row.cache().bytes());
    }
    double unknown = Double.NaN;
    Speed speed = row.speed() == null ? new Speed(unknown, unknown, unknown) : row.speed();
    ReportJson.putNumber(node, "prefill_tokens_per_second", speed.prefillTokensPerSecond());
    ReportJson.putNumber(node, "decode_tokens_per_second", speed.decodeTokensPerSecond());
    ReportJson.putNumber(node, "prefill_seconds", speed.prefillSeconds());
    return node;
  }
}
