package dev.kvshare.apply.model.tokenizer.template;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.exptest.ExpTest;
import com.hubspot.jinjava.lib.filter.AdvancedFilter;
import com.hubspot.jinjava.lib.filter.Filter;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/** Filters that differ from Jinjava's own or that it lacks. */
final class JinjaFilters {
  private JinjaFilters() {}

  /** {@code tojson}: as Python's {@code json.dumps} without escaping of other scripts. */
  static final class ToJson implements AdvancedFilter {
    @Override
    public String getName() {
      return "tojson";
    }

    @Override
    public Object filter(
        Object value,
        JinjavaInterpreter interpreter,
        Object[] arguments,
        Map<String, Object> named) {
      Object indent = named.getOrDefault("indent", arguments.length > 0 ? arguments[0] : null);
      return PythonJson.write(
          value, indent instanceof Number spaces ? spaces.intValue() : PythonJson.ONE_LINE);
    }
  }

  /** {@code trim}: as Python's {@code strip()}, which removes all kinds of white space. */
  static final class Trim implements Filter {
    @Override
    public String getName() {
      return "trim";
    }

    @Override
    public Object filter(Object value, JinjavaInterpreter interpreter, String... arguments) {
      return value == null ? "" : PythonMethods.strip(value.toString(), null, true, true);
    }
  }

  /** {@code items}: the pairs of a mapping. */
  static final class Items implements Filter {
    @Override
    public String getName() {
      return "items";
    }

    @Override
    public Object filter(Object value, JinjavaInterpreter interpreter, String... arguments) {
      List<Object> pairs = new ArrayList<>();
      if (value instanceof Map<?, ?> map) {
        pairs.addAll(map.entrySet());
      }
      return pairs;
    }
  }

  /** What every output passes: truth values as Python writes them. */
  static final class Text implements AdvancedFilter {
    static final String NAME = "kvshare_text";

    @Override
    public String getName() {
      return NAME;
    }

    @Override
    public Object filter(
        Object value,
        JinjavaInterpreter interpreter,
        Object[] arguments,
        Map<String, Object> named) {
      if (value instanceof Boolean truth) {
        return truth ? "True" : "False";
      }
      return value;
    }
  }

  /** Tests ({@code x is …}) that count texts and mappings in, as Python does. */
  static final class JinjaTests {
    private JinjaTests() {}

    /** {@code is iterable}. */
    static final class IsIterable implements ExpTest {
      @Override
      public String getName() {
        return "iterable";
      }

      @Override
      public boolean evaluate(Object value, JinjavaInterpreter interpreter, Object... arguments) {
        return isContainer(value);
      }
    }

    /** {@code is sequence}. */
    static final class IsSequence implements ExpTest {
      @Override
      public String getName() {
        return "sequence";
      }

      @Override
      public boolean evaluate(Object value, JinjavaInterpreter interpreter, Object... arguments) {
        return isContainer(value);
      }
    }

    private static boolean isContainer(Object value) {
      return value instanceof CharSequence
          || value instanceof Iterable<?>
          || value instanceof Map<?, ?>
          || (value != null && value.getClass().isArray());
    }
  }

  /**
   * JSON with the spacing of Python's {@code json.dumps}, which is part of what models were taught.
   */
  private static final class PythonJson {
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

    private static String enclose(
        char open, List<String> parts, char close, int indent, int depth) {
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
}
