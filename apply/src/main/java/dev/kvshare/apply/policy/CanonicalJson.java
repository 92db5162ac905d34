package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Prints JSON for people and for comparison by bytes: keys sorted, two blanks of indentation, a
 * value on one line if it fits in {@value #MAX_LINE} characters or is an array of numbers. A
 * computed number has nine significant digits ({@link Double#toString(double)} differs between Java
 * versions), one that was read has those of its file.
 */
final class CanonicalJson {
  private static final int MAX_LINE = 100;
  private static final MathContext NINE = new MathContext(9, RoundingMode.HALF_EVEN);

  private CanonicalJson() {}

  /** Returns {@code node} as text that ends with a line feed. */
  static String print(JsonNode node) {
    return print(node, 0) + "\n";
  }

  private static String print(JsonNode node, int indent) {
    String line = onOneLine(node);
    boolean fits = indent + line.length() <= MAX_LINE && indent > 0;
    if (fits || !node.isContainerNode() || isNumbers(node)) {
      return line;
    }
    String inner = "\n" + " ".repeat(indent + 2);
    String end = "\n" + " ".repeat(indent);
    return joined(node, part -> print(part, indent + 2), inner, "," + inner, end);
  }

  /** Returns {@code node} on one line, keys sorted. */
  static String onOneLine(JsonNode node) {
    if (node.isContainerNode()) {
      return joined(node, CanonicalJson::onOneLine, "", ", ", "");
    }
    if (node.isDouble()) {
      return number(decimal(node.doubleValue()));
    }
    return node.isBigDecimal() ? number(node.decimalValue()) : node.toString();
  }

  /** Returns {@code value} as it is read again once it was printed; null for null. */
  static Double rounded(Double value) {
    return value == null ? null : Double.valueOf(decimal(value).doubleValue());
  }

  private static BigDecimal decimal(double value) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException("a policy cannot hold the number " + value);
    }
    BigDecimal rounded = new BigDecimal(value).round(NINE);
    return rounded.signum() == 0 ? BigDecimal.ZERO : rounded.stripTrailingZeros();
  }

  private static String number(BigDecimal value) {
    return Math.abs((long) value.scale()) > 20 ? value.toString() : value.toPlainString();
  }

  private static String joined(
      JsonNode node, Function<JsonNode, String> print, String start, String comma, String end) {
    List<String> parts = new ArrayList<>();
    if (node.isArray()) {
      node.forEach(entry -> parts.add(print.apply(entry)));
    } else {
      node.properties().stream()
          .sorted(Map.Entry.comparingByKey())
          .forEach(
              field ->
                  parts.add(
                      TextNode.valueOf(field.getKey()) + ": " + print.apply(field.getValue())));
    }
    String text = start + String.join(comma, parts) + end;
    return node.isArray() ? "[" + text + "]" : "{" + text + "}";
  }

  private static boolean isNumbers(JsonNode node) {
    boolean numbers = node.isArray();
    for (JsonNode entry : node) {
      numbers &= entry.isNumber();
    }
    return numbers;
  }
}
