package dev.kvshare.apply.model.tokenizer.template;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.exptest.ExpTest;
import java.util.Map;

/** Tests ({@code x is …}) that count texts and mappings in, as Python does. */
final class JinjaTests {
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
