package dev.kvshare.apply.model.tokenizer.template;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Rewrites one expression of a Jinja template for Jinjava:
 *
 * <ul>
 *   <li>{@code not} binds weaker than comparisons, tests and {@code in}; Jinjava's binds tightest,
 *       so what it denies is put in parentheses.
 *   <li>{@code f(name=a|length - 1)}: Jinjava would take the name into the difference; parentheses
 *       again.
 *   <li>{@code [::-1]} becomes a call, because Jinjava knows no step in a slice.
 *   <li>Unknown filters and tests are refused; Jinjava silently gives nothing for them.
 * </ul>
 */
final class JinjaExpression {
  private static final Set<String> WEAKER_THAN_NOT = Set.of("and", "or", "if", "else");

  private final List<String> tokens;
  private final Predicate<String> knowsFilter;
  private final Predicate<String> knowsTest;

  JinjaExpression(String source, Predicate<String> knowsFilter, Predicate<String> knowsTest) {
    this.tokens = tokens(source.replace("[::-1]", "." + PythonMethods.REVERSED + "()"));
    this.knowsFilter = knowsFilter;
    this.knowsTest = knowsTest;
  }

  String adapt() {
    checkNames();
    return rewrite(0, tokens.size(), false);
  }

  /** Where a word stands outside texts and brackets; -1 when it does not. */
  static int indexOfWord(String source, String word) {
    int depth = 0;
    int offset = 0;
    for (String token : tokens(source)) {
      depth += depth(token);
      if (depth == 0 && token.equals(word)) {
        return offset;
      }
      offset += token.length();
    }
    return -1;
  }

  /** The position behind the text that begins at {@code start} with its quote. */
  static int endOfText(String source, int start) {
    int i = start + 1;
    while (i < source.length() && source.charAt(i) != source.charAt(start)) {
      i += source.charAt(i) == '\\' ? 2 : 1;
    }
    return Math.min(i + 1, source.length());
  }

  private String rewrite(int from, int to, boolean inCall) {
    StringBuilder result = new StringBuilder();
    int i = from;
    while (i < to) {
      String token = tokens.get(i);
      if (token.equals("not") && !isPartOfOperator(i)) {
        int end = operandEnd(i + 1, to, WEAKER_THAN_NOT);
        result.append("not (").append(rewrite(i + 1, end, false)).append(") ");
        i = end;
      } else if (inCall && token.equals("=")) {
        int end = operandEnd(i + 1, to, Set.of());
        String value = rewrite(i + 1, end, false);
        result.append('=').append(end == i + 2 ? value : "(" + value + ")");
        i = end;
      } else if (depth(token) > 0) {
        int end = closing(i, to);
        result.append(token).append(rewrite(i + 1, end, token.equals("(")));
        i = end;
      } else {
        result.append(token);
        i++;
      }
    }
    return result.toString();
  }

  /** {@code is not} and {@code not in}. */
  private boolean isPartOfOperator(int index) {
    return "is".equals(significant(index - 1, -1)) || "in".equals(significant(index + 1, 1));
  }

  /** Where what begins at {@code from} ends: at a comma, an unopened bracket or a weaker word. */
  private int operandEnd(int from, int to, Set<String> weaker) {
    int i = from;
    while (i < to) {
      String token = tokens.get(i);
      if (depth(token) < 0 || token.equals(",") || token.equals(":") || weaker.contains(token)) {
        return i;
      }
      i = depth(token) > 0 ? closing(i, to) + 1 : i + 1;
    }
    return to;
  }

  private int closing(int open, int to) {
    int depth = 0;
    for (int i = open; i < to; i++) {
      depth += depth(tokens.get(i));
      if (depth == 0) {
        return i;
      }
    }
    throw new IllegalArgumentException(
        "a bracket is not closed in '" + String.join("", tokens) + "'");
  }

  private void checkNames() {
    for (int i = 0; i < tokens.size(); i++) {
      if (tokens.get(i).equals("|")) {
        check(knowsFilter, "filter", significant(i + 1, 1));
      } else if (tokens.get(i).equals("is")) {
        String name = significant(i + 1, 1);
        check(knowsTest, "test", "not".equals(name) ? behindNot(i + 1) : name);
      }
    }
  }

  private String behindNot(int from) {
    int i = from;
    while (!tokens.get(i).equals("not")) {
      i++;
    }
    return significant(i + 1, 1);
  }

  private static void check(Predicate<String> known, String kind, String name) {
    if (name == null || !known.test(name)) {
      throw new IllegalArgumentException("the " + kind + " '" + name + "' is not known here");
    }
  }

  /** The nearest token that is not white space, from an index on in one direction. */
  private String significant(int from, int step) {
    for (int i = from; i >= 0 && i < tokens.size(); i += step) {
      if (!tokens.get(i).isBlank()) {
        return tokens.get(i);
      }
    }
    return null;
  }

  private static int depth(String token) {
    return switch (token) {
      case "(", "[", "{" -> 1;
      case ")", "]", "}" -> -1;
      default -> 0;
    };
  }

  /** Cuts into words, texts, white space, comparison signs and single characters. */
  private static List<String> tokens(String source) {
    List<String> tokens = new ArrayList<>();
    int i = 0;
    while (i < source.length()) {
      int end = i + 1;
      char c = source.charAt(i);
      if (c == '\'' || c == '"') {
        end = endOfText(source, i);
      } else if (Character.isJavaIdentifierPart(c)) {
        while (end < source.length() && Character.isJavaIdentifierPart(source.charAt(end))) {
          end++;
        }
      } else if (Character.isWhitespace(c)) {
        while (end < source.length() && Character.isWhitespace(source.charAt(end))) {
          end++;
        }
      } else if ("=!<>".indexOf(c) >= 0 && source.startsWith("=", end)) {
        end++;
      }
      tokens.add(source.substring(i, end));
      i = end;
    }
    return tokens;
  }
}
