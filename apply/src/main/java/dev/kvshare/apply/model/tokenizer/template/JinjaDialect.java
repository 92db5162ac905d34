package dev.kvshare.apply.model.tokenizer.template;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Rewrites a Jinja template so that Jinjava computes what Jinja does. Only tags are touched, text
 * stays as it is. What Jinjava would silently compute differently and cannot be rewritten is
 * refused. The differences in expressions are the matter of {@link JinjaExpression}; here:
 *
 * <ul>
 *   <li>{@code {% for x in y if z %}}: Jinjava ignores the condition; the list is filtered first.
 *   <li>{@code {% for %}…{% else %}}: Jinjava never runs the second part; refused.
 *   <li>{@code {{ true }}}: Python writes {@code True}.
 *   <li>White space around tags is removed here, as Jinja does with {@code trim_blocks} and {@code
 *       lstrip_blocks}: Jinjava takes some more.
 * </ul>
 */
final class JinjaDialect {
  private static final Pattern FILTERED_LOOP =
      Pattern.compile("(?s)for\\s+([\\w\\s,]+?)\\s+in\\s+(.*)");
  private static final Pattern END_RAW = Pattern.compile("\\{%[-+]?\\s*endraw\\s*[-+]?%}");

  private final String template;
  private final Predicate<String> knowsFilter;
  private final Predicate<String> knowsTest;
  private final StringBuilder result = new StringBuilder();
  private final Deque<String> blocks = new ArrayDeque<>();
  private int filteredLoops;

  private JinjaDialect(
      String template, Predicate<String> knowsFilter, Predicate<String> knowsTest) {
    this.template = template;
    this.knowsFilter = knowsFilter;
    this.knowsTest = knowsTest;
  }

  /**
   * Rewrites a template.
   *
   * @param knowsFilter whether Jinjava has a filter; it silently gives nothing for another
   * @param knowsTest whether Jinjava has a test ({@code x is …}), for the same reason
   * @throws IllegalArgumentException when the template uses what cannot be rendered
   */
  static String adapt(String template, Predicate<String> knowsFilter, Predicate<String> knowsTest) {
    String trimmed =
        template.endsWith("\n") ? template.substring(0, template.length() - 1) : template;
    return new JinjaDialect(trimmed, knowsFilter, knowsTest).adapt();
  }

  private String adapt() {
    int position = 0;
    boolean lineStarts = true;
    while (position < template.length()) {
      int open = nextTag(position);
      String text = template.substring(position, open);
      if (open == template.length()) {
        result.append(text);
        break;
      }
      boolean output = template.charAt(open + 1) == '{';
      char left = open + 2 < template.length() ? template.charAt(open + 2) : ' ';
      if (left == '-') {
        text = PythonMethods.strip(text, null, false, true);
      } else if (left != '+' && !output) {
        text = withoutIndent(text, lineStarts);
      }
      result.append(text);
      int end = template.charAt(open + 1) == '#' ? comment(open) : tag(open);
      position = behindTag(end, output);
      lineStarts = position > end && template.charAt(position - 1) == '\n';
    }
    return result.toString();
  }

  /** Blanks between the beginning of a line and a tag are no part of the text. */
  private static String withoutIndent(String text, boolean lineStarts) {
    int line = text.lastIndexOf('\n') + 1;
    boolean blank = PythonMethods.strip(text.substring(line), null, true, true).isEmpty();
    return (line > 0 || lineStarts) && blank ? text.substring(0, line) : text;
  }

  /** All white space behind a {@code -}, else one line break behind a tag that is no output. */
  private int behindTag(int end, boolean output) {
    char right = template.charAt(Math.max(0, end - 3));
    if (right == '-') {
      int length = template.length() - end;
      return end
          + length
          - PythonMethods.strip(template.substring(end), null, true, false).length();
    }
    boolean lineBreak = end < template.length() && template.charAt(end) == '\n';
    return !output && right != '+' && lineBreak ? end + 1 : end;
  }

  private int nextTag(int from) {
    for (int i = from; i + 1 < template.length(); i++) {
      char next = template.charAt(i + 1);
      if (template.charAt(i) == '{' && (next == '{' || next == '%' || next == '#')) {
        return i;
      }
    }
    return template.length();
  }

  private int comment(int open) {
    int end = template.indexOf("#}", open);
    return end < 0 ? template.length() : end + 2;
  }

  private int tag(int open) {
    boolean output = template.charAt(open + 1) == '{';
    int end = endOfTag(open + 2, output ? "}}" : "%}");
    String content = template.substring(open + 2, end);
    if (content.startsWith("-") || content.startsWith("+")) {
      content = content.substring(1);
    }
    if (content.endsWith("-") || content.endsWith("+")) {
      content = content.substring(0, content.length() - 1);
    }
    content = content.strip();
    if (output) {
      output(expression(content));
      return end + 2;
    }
    statement(content);
    if (content.equals("raw")) {
      Matcher endRaw = END_RAW.matcher(template);
      if (!endRaw.find(end)) {
        throw new IllegalArgumentException("a 'raw' has no 'endraw'");
      }
      result.append(template, end + 2, endRaw.start()).append("{% endraw %}");
      return endRaw.end();
    }
    return end + 2;
  }

  /** The end of a tag is not looked for in its texts. */
  private int endOfTag(int from, String close) {
    int i = from;
    while (i < template.length()) {
      char c = template.charAt(i);
      if (template.startsWith(close, i)) {
        return i;
      }
      i = c == '\'' || c == '"' ? JinjaExpression.endOfText(template, i) : i + 1;
    }
    throw new IllegalArgumentException(
        "the tag that begins with '"
            + template.substring(from - 2, Math.min(template.length(), from + 20))
            + "' has no end");
  }

  private void output(String expression) {
    // Jinjava takes a mapping with a comma in parentheses for a tuple; it is no truth value anyway.
    if (expression.indexOf('{') >= 0) {
      result.append("{{ ").append(expression).append(" }}");
    } else {
      result.append("{{ (").append(expression).append(")|").append(JinjaFilters.Text.NAME);
      result.append(" }}");
    }
  }

  private void statement(String content) {
    String name = content.split("\\W", 2)[0];
    switch (name) {
      case "if" -> blocks.push(name);
      case "for" -> {
        blocks.push(name);
        if (filteredLoop(content)) {
          return;
        }
      }
      case "endif", "endfor" -> blocks.poll();
      case "else" -> {
        if ("for".equals(blocks.peek())) {
          throw new IllegalArgumentException("an 'else' of a 'for' cannot be rendered");
        }
      }
      default -> {}
    }
    // The signature of a macro is no expression.
    String rest = content.substring(name.length());
    result.append("{% ").append(name);
    result.append(name.equals("macro") || rest.isEmpty() ? rest : " " + expression(rest));
    result.append(" %}");
  }

  private boolean filteredLoop(String content) {
    Matcher loop = FILTERED_LOOP.matcher(content);
    if (!loop.matches()) {
      return false;
    }
    String variables = loop.group(1);
    String iterated = loop.group(2);
    int condition = JinjaExpression.indexOfWord(iterated, "if");
    if (condition < 0) {
      return false;
    }
    result.append(
        "{%% set %1$s = [] %%}{%% for %2$s in %3$s %%}{%% if %4$s %%}{%% set kvshare_ignored = %1$s.append(%5$s) %%}{%% endif %%}{%% endfor %%}{%% for %2$s in %1$s %%}"
            .formatted(
                "kvshare_filtered_" + filteredLoops++,
                variables,
                expression(iterated.substring(0, condition)),
                expression(iterated.substring(condition + 2)),
                variables.contains(",") ? "[" + variables + "]" : variables));
    return true;
  }

  private String expression(String source) {
    return new JinjaExpression(source, knowsFilter, knowsTest).adapt();
  }
}
