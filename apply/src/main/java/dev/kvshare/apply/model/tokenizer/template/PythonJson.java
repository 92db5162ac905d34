package dev.kvshare.apply.model.tokenizer.template;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/**
 * JSON with the spacing of Python's {@code json.dumps}, which is part of what models were taught.
 */
final class PythonJson {
  /** No line breaks; a space behind each comma and colon. */
  static final int ONE_LINE = -1;

  private PythonJson() {}

  /**
   * Writes a value made of mappings, lists, texts, numbers, truth values and null.
   *
   * @param indent spaces a level, or {@link #ONE_LINE}
   */
  static String write(Object value, int indent) {
    return write(value, indent, 0);
  }

  private static String write(Object value, int indent, int depth) {
    List<String> parts = new ArrayList<>();
    if (value instanceof Map<?, ?> map) {
      map.forEach(
          (key, entry) ->
              parts.add(quote(String.valueOf(key)) + ": " + write(entry, indent, depth + 1)));
      return enclose('{', parts, '}', indent, depth);
    }
    if (value instanceof Collection<?> list) {
      list.forEach(entry -> parts.add(write(entry, indent, depth + 1)));
      return enclose('[', parts, ']', indent, depth);
    }
    if (value == null || value instanceof Number || value instanceof Boolean) {
      return String.valueOf(value);
    }
    return quote(value.toString());
  }

  private static String enclose(char open, List<String> parts, char close, int indent, int depth) {
    if (parts.isEmpty() || indent == ONE_LINE) {
      return open + String.join(", ", parts) + close;
    }
    String inner = "\n" + " ".repeat(indent * (depth + 1));
    String outer = "\n" + " ".repeat(indent * depth);
    return open + inner + String.join("," + inner, parts) + outer + close;
  }

  private static String quote(String text) {
    return '"' + String.valueOf(JsonStringEncoder.getInstance().quoteAsString(text)) + '"';
  }
}
