package dev.kvshare.apply.model;

import java.math.BigDecimal;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Amounts of memory, read and written in their usual units. */
public final class MemorySize {
  private static final Pattern FORM =
      Pattern.compile("([0-9]+(?:\\.[0-9]+)?) *(?:([kmg])(b|ib)?|b)?");

  private MemorySize() {}

  /** The bytes of an amount such as {@code 8GiB}, {@code 512MB} or {@code 65536}, at least one. */
  public static long parse(String value) {
    Matcher matcher = FORM.matcher(value.toLowerCase(Locale.ROOT));
    if (matcher.matches()) {
      int power = matcher.group(2) == null ? 0 : " kmg".indexOf(matcher.group(2));
      int step = "b".equals(matcher.group(3)) ? 1000 : 1024;
      BigDecimal bytes =
          new BigDecimal(matcher.group(1)).multiply(BigDecimal.valueOf(step).pow(power));
      if (bytes.signum() > 0 && bytes.compareTo(BigDecimal.valueOf(Long.MAX_VALUE)) <= 0) {
        return bytes.longValue();
      }
    }
    throw new IllegalArgumentException(
        "'" + value + "' is not an amount of memory such as 8GiB, 512MiB or 65536");
  }

  /** An amount in the largest binary unit that keeps it at least 1, such as "3.4 MiB". */
  public static String text(long bytes) {
    int unit = Math.min(4, (63 - Long.numberOfLeadingZeros(Math.max(1, bytes))) / 10);
    return unit == 0
        ? bytes + " bytes"
        : String.format(
            Locale.ROOT, "%.1f %siB", bytes / Math.pow(1024, unit), "BKMGT".charAt(unit));
  }
}
