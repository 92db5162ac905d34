package dev.kvshare.eval;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;

/**
 * One way to run the model: a row of the report.
 *
 * @param sharing the name of the sharing policy, or null for the unshared model
 * @param options sharing plan and weights
 * @param cachePolicy what owning layers keep, null for everything
 */
public record Variant(String sharing, CacheOptions options, CachePolicy cachePolicy) {

  /**
   * An empty cache for windows that are read at once: without a cache policy it keeps all tokens,
   * also those that are seen no more. Its initial capacity counts then.
   */
  public DecodingCache newCache(Decoder decoder, int batch, int initialCapacity) {
    return cachePolicy == null
        ? decoder.newCache(options, batch, initialCapacity)
        : decoder.newCache(options, cachePolicy, batch);
  }

  /** For messages. */
  String title() {
    String map = sharing == null ? "the unshared model" : sharing;
    return cachePolicy == null ? map : map + " with " + cachePolicy.name();
  }
}
