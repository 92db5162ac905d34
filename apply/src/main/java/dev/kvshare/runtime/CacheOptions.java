package dev.kvshare.runtime;

import dev.kvshare.policy.SharingMap;
import dev.kvshare.policy.SharingPlan;
import java.util.Objects;

/**
 * How a decoder runs with a cache.
 *
 * @param plan which keys and values each layer sees
 * @param overrides weights in place of the checkpoint's, null for none; whoever made them closes
 *     them after the cache
 */
public record CacheOptions(SharingPlan plan, WeightOverrides overrides) {

  /** Checks that there is a plan. */
  public CacheOptions {
    Objects.requireNonNull(plan, "plan");
  }

  /** A map alone with other weights. */
  public CacheOptions(SharingMap map, WeightOverrides overrides) {
    this(SharingPlan.of(map), overrides);
  }

  /** The checkpoint's weights under a map. */
  public static CacheOptions of(SharingMap map) {
    return of(SharingPlan.of(map));
  }

  /** The checkpoint's weights under a plan. */
  public static CacheOptions of(SharingPlan plan) {
    return new CacheOptions(plan, null);
  }

  /** Which layer reads whose keys and values. */
  public SharingMap map() {
    return plan.map();
  }

  /** The same under another map. */
  CacheOptions withMap(SharingMap other) {
    return new CacheOptions(other, overrides);
  }
}
