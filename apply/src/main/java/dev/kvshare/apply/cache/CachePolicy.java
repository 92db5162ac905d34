package dev.kvshare.apply.cache;

/**
 * An intra-layer compression of the KV cache: which tokens the layers that own a cache keep, and in
 * which number format. Goes with any sharing map.
 */
public sealed interface CachePolicy
    permits WholeText, StreamingLlm, H2o, SnapKv, PyramidKv, Int8Kv, Int8Eviction {

  /** The name by which a user asks for it. */
  String name();

  /** The method with its settings, for people. */
  String description();

  /**
   * What one owning layer keeps.
   *
   * @param rank its place among the owning layers, 0 for the lowest
   * @param owners how many layers own a cache
   * @param promptTokens tokens of the (longest) prompt
   * @throws IllegalArgumentException when the settings do not fit that prompt
   */
  KeepRule rule(int rank, int owners, int promptTokens);

  /**
   * Whether a token's position is its place among the kept ones, so that a text may outgrow the
   * positions that the model was made for.
   */
  default boolean endless() {
    return false;
  }

  /** The number format of keys and values. */
  default KeyValueFormat format() {
    return KeyValueFormat.COMPUTE_TYPE;
  }
}
