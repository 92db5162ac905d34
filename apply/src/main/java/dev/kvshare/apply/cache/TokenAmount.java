package dev.kvshare.apply.cache;

import java.util.Locale;

/**
 * A number of tokens, or a fraction of another number.
 *
 * @param tokens the number; 0 where {@code fraction} counts
 * @param fraction above 0 and at most 1; 0 where {@code tokens} count
 */
public record TokenAmount(int tokens, double fraction) {

  public TokenAmount {
    if (tokens < 0 || fraction < 0 || fraction > 1 || (tokens > 0 && fraction > 0)) {
      throw new IllegalArgumentException(
          "an amount of tokens must be a number of at least 0 or a fraction above 0 and up to 1, found %d and %s."
              .formatted(tokens, fraction));
    }
  }

  public static TokenAmount tokens(int tokens) {
    return new TokenAmount(tokens, 0);
  }

  /** A part of whatever it is asked for. */
  public static TokenAmount fraction(double fraction) {
    return new TokenAmount(0, fraction);
  }

  /**
   * Reads {@code "256"}, {@code "0.25"} or {@code "25%"}.
   *
   * @throws IllegalArgumentException for anything else
   */
  public static TokenAmount parse(String text) {
    try {
      if (text.endsWith("%")) {
        return fraction(Double.parseDouble(text.substring(0, text.length() - 1)) / 100);
      }
      return text.contains(".")
          ? fraction(Double.parseDouble(text))
          : tokens(Integer.parseInt(text));
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          "'%s' is no amount of tokens: expected a number such as 256, or a part such as 0.25 or 25%%."
              .formatted(text),
          e);
    }
  }

  /** Tokens out of {@code total}; a fraction is rounded down, but not to nothing. */
  public int of(int total) {
    return fraction > 0 ? Math.max(1, (int) (total * fraction)) : tokens;
  }

  /** The same before it is rounded. */
  double exact(int total) {
    return fraction > 0 ? total * fraction : tokens;
  }

  @Override
  public String toString() {
    return fraction > 0 ? String.format(Locale.ROOT, "%.4g%%", 100 * fraction) : tokens + " tokens";
  }
}
