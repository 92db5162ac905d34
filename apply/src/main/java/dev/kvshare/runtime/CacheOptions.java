package dev.kvshare.runtime;

import dev.kvshare.policy.SharingMap;
import java.util.Objects;

/**
 * How a decoder runs with a cache.
 *
 * @param map which layer reads whose keys and values
 * @param overrides weights in place of the checkpoint's, null for none; whoever made them closes
 *     them after the cache
 */
public record CacheOptions(SharingMap map, WeightOverrides overrides) {

  /** Checks that there is a map. */
  public CacheOptions {
    Objects.requireNonNull(map, "map");
  }

  /** The checkpoint's weights under a map. */
  public static CacheOptions of(SharingMap map) {
    return new CacheOptions(map, null);
  }

  /** The same under another map. */
  CacheOptions withMap(SharingMap other) {
    return new CacheOptions(other, overrides);
  }
}
