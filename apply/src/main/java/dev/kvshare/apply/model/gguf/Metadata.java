package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.storage.Problems;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;

/**
 * The key-value pairs of a GGUF file. A getter that finds a value of the wrong type records a
 * problem and answers as if the key were absent, so that one run reports all of them.
 */
final class Metadata {

  /** A Long, Double, Boolean or String, or a List of one of these; type of the elements. */
  record Entry(ValueType type, Object value, long offset) {
    boolean isArray() {
      return value instanceof List;
    }

    boolean isScalar(ValueType scalar) {
      return type == scalar && !isArray();
    }

    String describe() {
      return isArray() ? "an array of " + type : type + " " + value;
    }
  }

  private final Map<String, Entry> entries;
  private final Problems problems;
  private final Set<String> readKeys = new TreeSet<>();

  Metadata(Map<String, Entry> entries, Problems problems) {
    this.entries = entries;
    this.problems = problems;
  }

  /** Whether the key is there. Does not count as reading it. */
  boolean has(String key) {
    return entries.containsKey(key);
  }

  /** Keys with this prefix that no getter was asked for, sorted. */
  Set<String> unreadKeys(String prefix) {
    Set<String> keys = new TreeSet<>(entries.keySet());
    keys.removeIf(key -> !key.startsWith(prefix) || readKeys.contains(key));
    return keys;
  }

  /** A text, or null when absent. */
  String text(String key) {
    return (String) value(key, "a string", entry -> entry.isScalar(ValueType.STRING));
  }

  /** A truth value, or null when absent. */
  Boolean flag(String key) {
    return (Boolean) value(key, "a bool", entry -> entry.isScalar(ValueType.BOOL));
  }

  /** A whole number of at least 0, or null when absent. */
  Long natural(String key) {
    return (Long)
        value(
            key,
            "a whole number of at least 0",
            entry -> entry.value() instanceof Long number && number >= 0);
  }

  /** A number, or null when absent. */
  Double number(String key) {
    Number number = (Number) value(key, "a number", entry -> entry.value() instanceof Number);
    if (number == null) {
      return null;
    }
    boolean single = entries.get(key).type() == ValueType.FLOAT32;
    return single ? shortest(number.floatValue()) : number.doubleValue();
  }

  /** The number with the fewest decimal digits that is stored as this float32: the one meant. */
  private static double shortest(float stored) {
    for (int digits = 1; digits < 9 && Float.isFinite(stored); digits++) {
      BigDecimal rounded = new BigDecimal(stored).round(new MathContext(digits));
      if (rounded.floatValue() == stored) {
        return rounded.doubleValue();
      }
    }
    return stored;
  }

  /** An array of texts; empty when absent. */
  List<String> texts(String key) {
    return list(key, "an array of strings", ValueType.STRING::equals, String.class);
  }

  /** An array of whole numbers; empty when absent. */
  List<Long> integers(String key) {
    return list(key, "an array of whole numbers", ValueType::isInteger, Long.class);
  }

  /** An array of numbers; empty when absent. */
  List<Double> numbers(String key) {
    return list(key, "an array of numbers", ValueType::isNumber, Number.class).stream()
        .map(Number::doubleValue)
        .toList();
  }

  /** An array of truth values; empty when absent. */
  List<Boolean> flags(String key) {
    return list(key, "an array of bools", ValueType.BOOL::equals, Boolean.class);
  }

  boolean isArray(String key) {
    return has(key) && entries.get(key).isArray();
  }

  /** How a key's value reads in a message. */
  String describe(String key) {
    Entry entry = entries.get(key);
    return entry == null ? "absent" : entry.describe() + " at byte " + entry.offset();
  }

  private <T> List<T> list(
      String key, String expected, Predicate<ValueType> elements, Class<T> elementClass) {
    Object value = value(key, expected, entry -> entry.isArray() && elements.test(entry.type()));
    return value == null ? List.of() : ((List<?>) value).stream().map(elementClass::cast).toList();
  }

  private Object value(String key, String expected, Predicate<Entry> valid) {
    readKeys.add(key);
    Entry entry = entries.get(key);
    if (entry != null && !valid.test(entry)) {
      problems.corrupt("key '" + key + "' is " + describe(key) + ", but must be " + expected);
      return null;
    }
    return entry == null ? null : entry.value();
  }

  /** Types of metadata values, in the order of their numbers in the file. */
  enum ValueType {
    UINT8(1),
    INT8(1),
    UINT16(2),
    INT16(2),
    UINT32(4),
    INT32(4),
    FLOAT32(4),
    BOOL(1),
    STRING(8),
    ARRAY(12),
    UINT64(8),
    INT64(8),
    FLOAT64(8);

    /** Bytes that a value takes at least. */
    final int minimumBytes;

    ValueType(int minimumBytes) {
      this.minimumBytes = minimumBytes;
    }

    boolean isNumber() {
      return this != BOOL && this != STRING && this != ARRAY;
    }

    boolean isInteger() {
      return isNumber() && this != FLOAT32 && this != FLOAT64;
    }

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }
}
