package dev.kvshare.apply.cache;

/**
 * Keys and values as integers of 8 or 4 bits, symmetric around 0: x is kept as round(x / s) with s
 * the largest |x| of its group over 127 or 7. Groups are the head size of one token, or (keys) one
 * channel over some tokens, which suits their few large channels (Liu et al., "KIVI", arXiv
 * 2402.02750, section 3).
 *
 * <p>Deviations from KIVI: 8 or 4 bits instead of 2, no offset, and a token of the prompt sees the
 * quantised keys of earlier chunks (KIVI reads the whole prompt with exact ones). The cache holds
 * bytes, two integers of 4 bits in each, not numbers rounded in place.
 *
 * @param format one of integers
 */
public record IntegerKv(KeyValueFormat format) implements CachePolicy {
  public static final String INT8 = "int8";
  public static final String INT4 = "int4";

  public IntegerKv {
    requireIntegers(format);
  }

  private static void requireIntegers(KeyValueFormat format) {
    if (format.bits() == 0) {
      throw new IllegalArgumentException("a cache of integers needs a format of integers.");
    }
  }

  @Override
  public String name() {
    return format.bits() == 8 ? INT8 : INT4;
  }

  @Override
  public String description() {
    return name()
        + (format.byChannel()
            ? ": all tokens, scales for the channels of %d keys".formatted(KeyValueFormat.GROUP)
            : ": all tokens, a scale for each");
  }

  @Override
  public KeepRule rule(int rank, int owners, int promptTokens) {
    return KeepRule.ALL;
  }

  /**
   * An eviction whose kept keys and values are integers with a scale for each token. Scales of
   * channels need groups of neighbouring tokens and so do not go with eviction.
   *
   * @param eviction which tokens stay
   */
  public record WithEviction(CachePolicy eviction, KeyValueFormat format) implements CachePolicy {

    public WithEviction {
      requireIntegers(format);
      if (format.byChannel()) {
        throw new IllegalArgumentException("scales of channels do not go with eviction.");
      }
      if (eviction.format() != KeyValueFormat.COMPUTE_TYPE) {
        throw new IllegalArgumentException(eviction.name() + " is a cache of integers already.");
      }
    }

    @Override
    public String name() {
      return eviction.name() + "+" + new IntegerKv(format).name();
    }

    @Override
    public String description() {
      return "%s; %d-bit integers".formatted(eviction.description(), format.bits());
    }

    @Override
    public KeepRule rule(int rank, int owners, int promptTokens) {
      return eviction.rule(rank, owners, promptTokens);
    }

    @Override
    public boolean endless() {
      return eviction.endless();
    }
  }
}
