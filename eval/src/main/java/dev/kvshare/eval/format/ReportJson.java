package dev.kvshare.eval.format;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.datasets.Passages;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Writes a report for programs: {@code {"rows": [...], "text": {...}, "warnings": [...]}}. A value
 * that is not known is null.
 */
public final class ReportJson {
  private static final ObjectMapper JSON = new ObjectMapper();

  private ReportJson() {}

  static String json(ReportContent report) {
    ObjectNode root = newObject();
    ArrayNode rows = root.putArray("rows");
    report.rows().forEach(rows::add);
    root.set("text", object(report.windows()));
    report.warnings().forEach(root.putArray("warnings")::add);
    try {
      return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a tree of plain values can be written", e);
    }
  }

  static String csv(List<ObjectNode> rows) {
    List<String> lines = new ArrayList<>();
    for (ObjectNode row : rows) {
      if (lines.isEmpty()) {
        lines.add(
            row.properties().stream()
                .map(field -> field.getKey())
                .collect(Collectors.joining(",")));
      }
      lines.add(
          row.properties().stream()
              .map(field -> cell(field.getValue()))
              .collect(Collectors.joining(",")));
    }
    return String.join("\n", lines) + "\n";
  }

  public static ObjectNode newObject() {
    return JSON.createObjectNode();
  }

  /** JSON has no infinity and no NaN; both mean that the value is not known. */
  public static void putNumber(ObjectNode node, String field, double value) {
    if (Double.isFinite(value)) {
      node.put(field, value);
    } else {
      node.putNull(field);
    }
  }

  private static String cell(JsonNode value) {
    String text = value.isNull() ? "" : value.asText();
    return text.matches("[^,\"\r\n]*") ? text : '"' + text.replace("\"", "\"\"") + '"';
  }

  private static ObjectNode object(Passages windows) {
    ObjectNode node = newObject();
    node.put("name", windows.name());
    node.put("sha256", windows.sha256());
    node.put("windows", windows.passages().size());
    node.put("window", windows.passages().get(0).length);
    node.put("scored_tokens", windows.tokens() - windows.passages().size());
    return node;
  }
}
