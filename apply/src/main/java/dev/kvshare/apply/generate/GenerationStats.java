package dev.kvshare.apply.generate;

import java.util.OptionalLong;

/**
 * What a generation cost.
 *
 * @param promptTokens tokens of all prompts
 * @param newTokens tokens generated in all rows
 * @param prefillNanos time until the logits of the last prompt token were there
 * @param decodeNanos time of all decoding steps after that, with choosing and decoding to text
 * @param kvBytesPerToken bytes of KV cache that one more token of one row takes, once the windows
 *     of the policy are full
 * @param kvBytesAllocated bytes of KV cache allocated at the end, for all rows
 * @param kvBytesOfWholeModel bytes that keys and values of all layers and all tokens would take,
 *     without sharing and without a cache policy
 * @param peakResidentBytes highest resident memory of the process so far, where the system tells
 */
public record GenerationStats(
    long promptTokens,
    long newTokens,
    long prefillNanos,
    long decodeNanos,
    long kvBytesPerToken,
    long kvBytesAllocated,
    long kvBytesOfWholeModel,
    OptionalLong peakResidentBytes) {

  /** Prompt tokens per second of prefill. */
  public double prefillTokensPerSecond() {
    return perSecond(promptTokens, prefillNanos);
  }

  /**
   * New tokens per second of decoding, all rows together. The first token of each row comes out of
   * the prefill and is not counted.
   */
  public double decodeTokensPerSecond(int rows) {
    return perSecond(Math.max(0, newTokens - rows), decodeNanos);
  }

  private static double perSecond(long tokens, long nanos) {
    return nanos == 0 ? 0 : tokens * 1e9 / nanos;
  }
}
