package dev.kvshare.apply.model.tokenizer.template;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import jinjava.javax.el.ELContext;
import jinjava.javax.el.ELResolver;
import jinjava.javax.el.MethodNotFoundException;

/**
 * The methods of Python's texts, for templates that call them. Other methods of a text are refused:
 * Java's methods of the same name often do something else.
 */
final class PythonMethods extends ELResolver {
  /** Stands for the slice {@code [::-1]}. */
  static final String REVERSED = "kvshare_reversed";

  @Override
  public Object invoke(
      ELContext context, Object base, Object method, Class<?>[] types, Object[] arguments) {
    if (method.equals(REVERSED)) {
      context.setPropertyResolved(true);
      return reversed(base);
    }
    if (base instanceof CharSequence text) {
      context.setPropertyResolved(true);
      return call(text.toString(), String.valueOf(method), arguments);
    }
    return null;
  }

  /**
   * Python's {@code strip}, {@code lstrip} and {@code rstrip}.
   *
   * @param characters what to remove, or null for white space
   */
  static String strip(String text, String characters, boolean left, boolean right) {
    int start = 0;
    int end = text.length();
    while (left && start < end && isStripped(text.charAt(start), characters)) {
      start++;
    }
    while (right && end > start && isStripped(text.charAt(end - 1), characters)) {
      end--;
    }
    return text.substring(start, end);
  }

  private static boolean isStripped(char c, String characters) {
    return characters == null
        ? Character.isWhitespace(c) || Character.isSpaceChar(c) || c == '\u0085'
        : characters.indexOf(c) >= 0;
  }

  private static Object call(String text, String method, Object[] arguments) {
    String first = arguments.length > 0 && arguments[0] != null ? arguments[0].toString() : null;
    return switch (method) {
      case "strip" -> strip(text, first, true, true);
      case "lstrip" -> strip(text, first, true, false);
      case "rstrip" -> strip(text, first, false, true);
      case "startswith" -> prefixes(arguments).stream().anyMatch(text::startsWith);
      case "endswith" -> prefixes(arguments).stream().anyMatch(text::endsWith);
      case "split" -> split(text, first, limit(arguments));
      case "splitlines" -> text.lines().toList();
      case "replace" -> replace(text, arguments);
      case "upper" -> text.toUpperCase(Locale.ROOT);
      case "lower" -> text.toLowerCase(Locale.ROOT);
      case "title" -> title(text);
      case "capitalize" ->
          text.isEmpty()
              ? text
              : text.substring(0, 1).toUpperCase(Locale.ROOT)
                  + text.substring(1).toLowerCase(Locale.ROOT);
      case "find" -> (long) text.indexOf(String.valueOf(first));
      case "rfind" -> (long) text.lastIndexOf(String.valueOf(first));
      case "count" -> (long) split(text, first, Integer.MAX_VALUE).size() - 1;
      case "join" -> join(text, arguments);
      case "isdigit" -> !text.isEmpty() && text.chars().allMatch(Character::isDigit);
      default ->
          throw new MethodNotFoundException("the text method '" + method + "' is not known here");
    };
  }

  private static Object reversed(Object base) {
    if (base instanceof CharSequence text) {
      return new StringBuilder(text).reverse().toString();
    }
    if (base instanceof Collection<?> values) {
      List<Object> reversed = new ArrayList<>(values);
      Collections.reverse(reversed);
      return reversed;
    }
    return null;
  }

  /** One text or a tuple of texts. */
  private static List<String> prefixes(Object[] arguments) {
    Object given = arguments.length > 0 ? arguments[0] : "";
    return given instanceof Collection<?> several
        ? several.stream().map(String::valueOf).toList()
        : List.of(String.valueOf(given));
  }

  private static int limit(Object[] arguments) {
    return arguments.length > 1 && arguments[1] instanceof Number number && number.intValue() >= 0
        ? number.intValue()
        : Integer.MAX_VALUE;
  }

  /** Cuts at a text, or at runs of white space when it is null, at most {@code limit} times. */
  private static List<String> split(String text, String separator, int limit) {
    if (separator == null) {
      String stripped = strip(text, null, true, true);
      return stripped.isEmpty()
          ? List.of()
          : Arrays.asList(stripped.split("\\s+", limit == Integer.MAX_VALUE ? -1 : limit + 1));
    }
    List<String> parts = new ArrayList<>();
    int start = 0;
    int end = text.indexOf(separator);
    while (end >= 0 && parts.size() < limit) {
      parts.add(text.substring(start, end));
      start = end + separator.length();
      end = text.indexOf(separator, start);
    }
    parts.add(text.substring(start));
    return parts;
  }

  private static String replace(String text, Object[] arguments) {
    if (arguments.length != 2) {
      throw new MethodNotFoundException("replace with a count is not known here");
    }
    return text.replace(String.valueOf(arguments[0]), String.valueOf(arguments[1]));
  }

  private static String title(String text) {
    StringBuilder title = new StringBuilder();
    boolean inWord = false;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      title.append(inWord ? Character.toLowerCase(c) : Character.toUpperCase(c));
      inWord = Character.isLetter(c);
    }
    return title.toString();
  }

  private static String join(String separator, Object[] arguments) {
    if (arguments.length == 1 && arguments[0] instanceof Collection<?> values) {
      return values.stream().map(String::valueOf).collect(Collectors.joining(separator));
    }
    throw new MethodNotFoundException("join needs a list of texts");
  }

  @Override
  public Object getValue(ELContext context, Object base, Object property) {
    return null;
  }

  @Override
  public Class<?> getType(ELContext context, Object base, Object property) {
    return null;
  }

  @Override
  public void setValue(ELContext context, Object base, Object property, Object value) {}

  @Override
  public boolean isReadOnly(ELContext context, Object base, Object property) {
    return true;
  }

  @Override
  public Class<?> getCommonPropertyType(ELContext context, Object base) {
    return null;
  }

  @Override
  public java.util.Iterator<java.beans.FeatureDescriptor> getFeatureDescriptors(
      ELContext context, Object base) {
    return Collections.emptyIterator();
  }
}
