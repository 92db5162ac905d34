package dev.kvshare.apply.model.tokenizer.template;

import com.hubspot.jinjava.el.ext.NamedParameter;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.objects.Namespace;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** Functions of chat templates. Public because the template engine calls them by reflection. */
public final class JinjaFunctions {
  /** The variable that holds the time at which a template is rendered. */
  static final String NOW = "kvshare_now";

  private static final int MAX_NAMES = 1000;

  /** Python's letters of a date pattern that templates use, with Java's patterns. */
  private static final Map<Character, String> DATE_PARTS =
      Map.ofEntries(
          Map.entry('a', "EEE"),
          Map.entry('A', "EEEE"),
          Map.entry('b', "MMM"),
          Map.entry('B', "MMMM"),
          Map.entry('d', "dd"),
          Map.entry('H', "HH"),
          Map.entry('I', "hh"),
          Map.entry('j', "DDD"),
          Map.entry('m', "MM"),
          Map.entry('M', "mm"),
          Map.entry('p', "a"),
          Map.entry('S', "ss"),
          Map.entry('y', "yy"),
          Map.entry('Y', "yyyy"));

  private JinjaFunctions() {}

  /** A template's own refusal of a conversation. */
  static final class RaisedByTemplate extends RuntimeException {
    private static final long serialVersionUID = 1L;

    RaisedByTemplate(String message) {
      super(message);
    }
  }

  /** {@code raise_exception(message)}. */
  public static Object raiseException(String message) {
    throw new RaisedByTemplate(message);
  }

  /** {@code strftime_now(pattern)}: the date in Python's notation, in English. */
  public static String strftimeNow(String pattern) {
    LocalDateTime now = (LocalDateTime) JinjavaInterpreter.getCurrent().getContext().get(NOW);
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < pattern.length(); i++) {
      char letter = pattern.charAt(i);
      if (letter != '%' || i + 1 == pattern.length()) {
        text.append(letter);
        continue;
      }
      letter = pattern.charAt(++i);
      String part = letter == '%' ? "'%'" : DATE_PARTS.get(letter);
      if (part == null) {
        throw new IllegalArgumentException("strftime_now does not know %" + letter);
      }
      text.append(DateTimeFormatter.ofPattern(part, Locale.US).format(now));
    }
    return text.toString();
  }

  /** {@code namespace(name=value, …)}: variables that a loop can change. */
  public static Namespace namespace(Object... values) {
    Map<String, Object> names = new HashMap<>();
    for (Object value : values) {
      if (value instanceof NamedParameter named) {
        names.put(named.getName(), named.getValue());
      }
    }
    return new Namespace(names, MAX_NAMES);
  }
}
