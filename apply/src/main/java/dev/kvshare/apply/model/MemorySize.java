package dev.kvshare.apply.model;

import java.math.BigDecimal;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Amounts of memory, read and written in their usual units. */
public final class MemorySize {
  private static final Pattern FORM = Pattern.compile("([0-9]+(?:\\.[0-9]+)?) *([a-z]*)");
  private static final Map<String, Long> BYTES_OF_UNIT =
      Map.ofEntries(
          Map.entry("", 1L),
          Map.entry("b", 1L),
          Map.entry("kb", 1_000L),
          Map.entry("mb", 1_000_000L),
          Map.entry("gb", 1_000_000_000L),
          Map.entry("k", 1L << 10),
          Map.entry("kib", 1L << 10),
          Map.entry("m", 1L << 20),
          Map.entry("mib", 1L << 20),
          Map.entry("g", 1L << 30),
          Map.entry("gib", 1L << 30));

  private MemorySize() {}

  /**
   * The bytes of an amount such as {@code 8GiB}, {@code 512MB} or {@code 65536}.
   *
   * @throws IllegalArgumentException if it is no amount, or less than a byte
   */
  public static long parse(String value) {
    Matcher matcher = FORM.matcher(value.toLowerCase(Locale.ROOT));
    if (matcher.matches() && BYTES_OF_UNIT.containsKey(matcher.group(2))) {
      BigDecimal bytes =
          new BigDecimal(matcher.group(1))
              .multiply(BigDecimal.valueOf(BYTES_OF_UNIT.get(matcher.group(2))));
      if (bytes.signum() > 0 && bytes.compareTo(BigDecimal.valueOf(Long.MAX_VALUE)) <= 0) {
        return bytes.longValue();
      }
    }
    throw new IllegalArgumentException(
        "'" + value + "' is not an amount of memory such as 8GiB, 512MiB or 65536");
  }

  /** An amount in the largest binary unit that keeps it at least 1, such as "3.4 MiB". */
  public static String text(long bytes) {
    String[] units = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double amount = bytes;
    int unit = 0;
    while (amount >= 1024 && unit < units.length - 1) {
      amount /= 1024;
      unit++;
    }
    return unit == 0
        ? bytes + " bytes"
        : String.format(Locale.ROOT, "%.1f %s", amount, units[unit]);
  }
}
