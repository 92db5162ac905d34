package dev.kvshare.apply.cache;

import java.util.Objects;

/**
 * Keys and values as 8-bit integers, symmetric around 0: x is kept as round(x / s) with s the
 * largest |x| of its group over 127. Groups are the head size of one token, or (keys) one channel
 * over some tokens, which suits their few large channels (Liu et al., "KIVI", arXiv 2402.02750,
 * section 3).
 *
 * <p>Deviations from KIVI: 8 bits instead of 2, no offset, and a token of the prompt sees the
 * quantised keys of earlier chunks (KIVI reads the whole prompt with exact ones). The cache holds
 * bytes, not numbers rounded in place.
 *
 * @param format {@link KeyValueFormat#INT8_PER_TOKEN} or {@link KeyValueFormat#INT8_PER_CHANNEL}
 */
public record Int8Kv(KeyValueFormat format) implements CachePolicy {
  public static final String NAME = "int8";

  public Int8Kv {
    Objects.requireNonNull(format, "format");
    if (format == KeyValueFormat.COMPUTE_TYPE) {
      throw new IllegalArgumentException("an int8 cache needs a format of 8-bit integers.");
    }
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String description() {
    return format == KeyValueFormat.INT8_PER_TOKEN
        ? "int8: all tokens, a scale for each"
        : "int8: all tokens, scales for the channels of %d keys".formatted(KeyValueFormat.GROUP);
  }

  @Override
  public KeepRule rule(int rank, int owners, int promptTokens) {
    return KeepRule.ALL;
  }

  /**
   * An eviction whose kept keys and values are 8-bit integers with a scale for each token. Scales
   * of channels need groups of neighbouring tokens and so do not go with eviction.
   *
   * @param eviction which tokens stay
   */
  public record WithEviction(CachePolicy eviction) implements CachePolicy {

    public WithEviction {
      Objects.requireNonNull(eviction, "eviction");
      if (eviction.format() != KeyValueFormat.COMPUTE_TYPE) {
        throw new IllegalArgumentException(eviction.name() + " is a cache of integers already.");
      }
    }

    @Override
    public String name() {
      return eviction.name() + "+" + Int8Kv.NAME;
    }

    @Override
    public String description() {
      return eviction.description() + "; 8-bit integers";
    }

    @Override
    public KeepRule rule(int rank, int owners, int promptTokens) {
      return eviction.rule(rank, owners, promptTokens);
    }

    @Override
    public boolean endless() {
      return eviction.endless();
    }

    @Override
    public KeyValueFormat format() {
      return KeyValueFormat.INT8_PER_TOKEN;
    }
  }
}
