package dev.kvshare.apply.decoder;

import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.Objects;

/**
 * How a decoder runs with a cache.
 *
 * @param plan which keys and values each layer sees
 * @param overrides weights in place of the checkpoint's, null for none; whoever made them closes
 *     them after the cache
 */
public record CacheOptions(Plan plan, WeightOverrides overrides) {

  /** Checks that there is a plan. */
  public CacheOptions {
    Objects.requireNonNull(plan, "plan");
  }

  /** A map alone with other weights. */
  public CacheOptions(SharingMap map, WeightOverrides overrides) {
    this(Plan.of(map), overrides);
  }

  /** The checkpoint's weights under a map. */
  public static CacheOptions of(SharingMap map) {
    return new CacheOptions(map, null);
  }

  /** The checkpoint's weights under a plan. */
  public static CacheOptions of(Plan plan) {
    return new CacheOptions(plan, null);
  }

  /** Which layer reads whose keys and values. */
  public SharingMap map() {
    return plan.map();
  }
}
