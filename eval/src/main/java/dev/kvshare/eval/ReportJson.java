package dev.kvshare.eval;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.datasets.TokenWindows;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Writes a report for programs: {@code {"rows": [...], "text": {...}, "warnings": [...]}}. A value
 * that is not known is null.
 */
final class ReportJson {
  private static final ObjectMapper JSON = new ObjectMapper();

  private ReportJson() {}

  static String json(EvaluationReport report) {
    ObjectNode root = JSON.createObjectNode();
    ArrayNode rows = root.putArray("rows");
    report.rows().forEach(row -> rows.add(object(row)));
    root.set("text", object(report.windows()));
    report.warnings().forEach(root.putArray("warnings")::add);
    try {
      return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a tree of plain values can be written", e);
    }
  }

  static String csv(EvaluationReport report) {
    List<String> lines = new ArrayList<>();
    for (EvaluationRow row : report.rows()) {
      ObjectNode object = object(row);
      if (lines.isEmpty()) {
        lines.add(
            object.properties().stream()
                .map(field -> field.getKey())
                .collect(Collectors.joining(",")));
      }
      lines.add(
          object.properties().stream()
              .map(field -> cell(field.getValue()))
              .collect(Collectors.joining(",")));
    }
    return String.join("\n", lines) + "\n";
  }

  private static String cell(JsonNode value) {
    String text = value.isNull() ? "" : value.asText();
    return text.matches("[^,\"\r\n]*") ? text : '"' + text.replace("\"", "\"\"") + '"';
  }

  private static ObjectNode object(EvaluationRow row) {
    ObjectNode node = JSON.createObjectNode();
    node.put("policy", row.policy());
    putNumber(node, "perplexity", row.perplexity().value());
    putNumber(node, "perplexity_stderr", row.perplexity().standardError());
    putNumber(node, "ratio", row.ratio().value());
    putNumber(node, "ratio_stderr", row.ratio().standardError());
    putNumber(node, "divergence", row.divergence());
    putNumber(node, "same_token_fraction", row.agreement());
    putNumber(node, "kv_fraction", row.kvFraction());
    node.put("kv_bytes_per_token", row.kvBytesPerToken());
    if (row.cache() != null) {
      node.put("cache", row.cache().policy());
      putNumber(node, "sharing_fraction", row.cache().sharingFraction());
      putNumber(node, "cache_fraction", row.cache().policyFraction());
      node.put("kv_bytes", row.cache().bytes());
    }
    double unknown = Double.NaN;
    Speed speed = row.speed() == null ? new Speed(unknown, unknown, unknown) : row.speed();
    putNumber(node, "prefill_tokens_per_second", speed.prefillTokensPerSecond());
    putNumber(node, "decode_tokens_per_second", speed.decodeTokensPerSecond());
    putNumber(node, "prefill_seconds", speed.prefillSeconds());
    return node;
  }

  /** JSON has no infinity and no NaN; both mean that the value is not known. */
  private static void putNumber(ObjectNode node, String field, double value) {
    if (Double.isFinite(value)) {
      node.put(field, value);
    } else {
      node.putNull(field);
    }
  }

  private static ObjectNode object(TokenWindows windows) {
    ObjectNode node = JSON.createObjectNode();
    node.put("name", windows.name());
    node.put("sha256", windows.sha256());
    node.put("windows", windows.windows().size());
    node.put("window", windows.windows().get(0).length);
    node.put("scored_tokens", windows.tokens() - windows.windows().size());
    return node;
  }
}
