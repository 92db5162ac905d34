package dev.kvshare.apply.cache;

import dev.kvshare.apply.cache.KeepRule.EvictionTime;
import dev.kvshare.apply.cache.KeepRule.Observation;

/**
 * SnapKV (Li et al., "SnapKV: LLM Knows What You are Looking for Before Generation", arXiv
 * 2404.14469, section 4): once a prompt has been read, its last queries vote which tokens before
 * them stay; votes are smoothed over neighbours so that what stands around a hit stays with it.
 * Generated tokens are all kept.
 *
 * <table>
 * <caption>Symbols</caption>
 * <tr><th>paper</th><th>here</th></tr>
 * <tr><td>L_obs, observation window</td><td>{@code window}</td></tr>
 * <tr><td>k = p x L_prefix, kept besides the window</td><td>{@code budget - window}</td></tr>
 * <tr><td>kernel size of the pooling</td><td>{@code kernel}</td></tr>
 * </table>
 *
 * <p>Deviations: {@code budget} counts the window (as kvpress does); votes are pooled by the mean,
 * not by the maximum, and shared by the query heads of a key/value head (both as kvpress' {@code
 * SnapKVPress}, with which kept positions agree); layers that read the cache vote as well.
 *
 * @param budget tokens of a prompt that a layer keeps, window included; a fraction is one of the
 *     prompt
 * @param window last tokens, which vote and stay
 * @param kernel width of the pooling, odd
 */
public record SnapKv(TokenAmount budget, int window, int kernel) implements CachePolicy {
  public static final String NAME = "snapkv";

  /** Queries that vote. */
  public static final int DEFAULT_WINDOW = 32;

  /** Neighbours over which votes are pooled. */
  public static final int DEFAULT_KERNEL = 5;

  public SnapKv {
    requireWindow(window, kernel);
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String description() {
    return "SnapKV: %s of the prompt, chosen by its last %d".formatted(budget, window);
  }

  @Override
  public KeepRule rule(int rank, int owners, int promptTokens) {
    return byVotes(Math.max(1, budget.of(promptTokens)), window, kernel);
  }

  /** So many slots, given out by the votes of the last queries. */
  static KeepRule byVotes(int slots, int window, int kernel) {
    return new KeepRule(
        slots,
        0,
        Math.min(window, slots),
        new Observation(window, false, kernel),
        EvictionTime.AFTER_PROMPT,
        false);
  }

  static void requireWindow(int window, int kernel) {
    if (window < 1 || kernel < 1 || kernel % 2 == 0) {
      throw new IllegalArgumentException(
          "the observation window must be at least 1 and the pooling kernel odd, found %d and %d."
              .formatted(window, kernel));
    }
  }
}
