package dev.kvshare.eval.quality;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.plan.Plan;

/**
 * One way to run the model: a row of a report.
 *
 * @param policy the name of the policy, or null for the unshared model
 * @param options plan and refitted weights
 * @param cachePolicy what layers with a cache keep of it, null for everything
 */
public record Variant(String policy, CacheOptions options, CachePolicy cachePolicy) {
  /** What tables call the unshared model. */
  public static final String UNSHARED = "(unshared)";

  /** What tables call a cache without a cache policy. */
  public static final String WHOLE_CACHE = "(all)";

  /**
   * An empty cache for passages that are read at once: without a cache policy it keeps all tokens,
   * also those that are seen no more.
   *
   * @param initialCapacity tokens to make room for; counts without a cache policy only
   */
  public DecodingCache newCache(Decoder decoder, int batch, int initialCapacity) {
    return cachePolicy == null
        ? decoder.newCache(options, batch, initialCapacity)
        : decoder.newCache(options, cachePolicy, batch);
  }

  /** The same with another way to compute prompts. */
  public Variant with(Plan.Prefill prefill) {
    CacheOptions other = new CacheOptions(options.plan().withPrefill(prefill), options.overrides());
    return new Variant(policy, other, cachePolicy);
  }

  /** The name of the cache policy, or null for none. */
  public String cache() {
    return cachePolicy == null ? null : cachePolicy.name();
  }

  /** For messages. */
  public String title() {
    String plan = policy == null ? "the unshared model" : policy;
    return cachePolicy == null ? plan : plan + " with " + cachePolicy.name();
  }
}
