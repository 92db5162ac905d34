package dev.kvshare.apply.cache;

import java.util.Objects;

/**
 * An eviction whose kept keys and values are 8-bit integers with a scale for each token. Scales of
 * channels need groups of neighbouring tokens and so do not go with eviction.
 *
 * @param eviction which tokens stay
 */
public record Int8Eviction(CachePolicy eviction) implements CachePolicy {

  /** Refuses what is quantised already. */
  public Int8Eviction {
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
