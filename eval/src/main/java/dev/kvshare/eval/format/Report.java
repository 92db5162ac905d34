package dev.kvshare.eval.format;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * What was measured, for every form that it can be written in. As JSON it is {@code {"rows": [...],
 * "text": {...}, "run": {...}, "notes": [...], "warnings": [...]}}; a value that is not known is
 * null.
 *
 * @param cells the table for people, its head first
 * @param rows the rows for programs, all with the same fields
 * @param about what was read ({@code text}) and everything else that is needed to measure it again
 *     ({@code run}); may be empty
 * @param notes sentences below the table
 * @param warnings sentences for the user
 * @param charts pictures, for HTML
 */
public record Report(
    List<List<String>> cells,
    List<ObjectNode> rows,
    ObjectNode about,
    List<String> notes,
    List<String> warnings,
    List<Chart> charts) {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** An aligned table for a terminal, or one for Markdown; values named and printed as in JSON. */
  public enum Format {
    TEXT,
    MARKDOWN,
    CSV,
    JSON
  }

  /** This report in a form; it ends with a line feed. */
  public String write(Format format) {
    return switch (format) {
      case TEXT -> Table.numbers(cells) + below();
      case MARKDOWN -> Table.markdown(cells) + below();
      case CSV -> csv();
      case JSON -> json();
    };
  }

  /** A row for programs, without fields. */
  public static ObjectNode newRow() {
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

  /** The same with a sentence more below the table. */
  public Report with(String note) {
    List<String> more = new ArrayList<>(notes);
    more.add(note);
    return new Report(cells, rows, about, more, warnings, charts);
  }

  /** A report without pictures. */
  public Report(
      List<List<String>> cells,
      List<ObjectNode> rows,
      ObjectNode about,
      List<String> notes,
      List<String> warnings) {
    this(cells, rows, about, notes, warnings, List.of());
  }

  /** The same with a picture more. */
  public Report with(Chart chart) {
    List<Chart> more = new ArrayList<>(charts);
    more.add(chart);
    return new Report(cells, rows, about, notes, warnings, more);
  }

  /** The same as one self-contained page. */
  public String html() {
    return HtmlPage.of(this);
  }

  private String below() {
    return notes.stream().map(note -> "\n" + note + "\n").collect(Collectors.joining());
  }

  private String json() {
    ObjectNode root = JSON.createObjectNode();
    rows.forEach(root.putArray("rows")::add);
    root.setAll(about);
    notes.forEach(root.putArray("notes")::add);
    warnings.forEach(root.putArray("warnings")::add);
    try {
      return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a tree of plain values can be written", e);
    }
  }

  private String csv() {
    List<String> lines = new ArrayList<>();
    if (!rows.isEmpty()) {
      lines.add(line(rows.get(0), Map.Entry::getKey));
    }
    rows.forEach(row -> lines.add(line(row, field -> cell(field.getValue()))));
    return String.join("\n", lines) + "\n";
  }

  private static String line(ObjectNode row, Function<Map.Entry<String, JsonNode>, String> cell) {
    return row.properties().stream().map(cell).collect(Collectors.joining(","));
  }

  private static String cell(JsonNode value) {
    String text = value.isNull() ? "" : value.asText();
    return text.matches("[^,\"\r\n]*") ? text : '"' + text.replace("\"", "\"\"") + '"';
  }
}
