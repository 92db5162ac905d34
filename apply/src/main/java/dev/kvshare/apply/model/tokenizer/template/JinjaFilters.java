package dev.kvshare.apply.model.tokenizer.template;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.exptest.ExpTest;
import com.hubspot.jinjava.lib.filter.AdvancedFilter;
import com.hubspot.jinjava.lib.filter.Filter;
import java.util.ArrayList;
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
}
