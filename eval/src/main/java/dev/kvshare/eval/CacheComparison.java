package dev.kvshare.eval;

import dev.kvshare.apply.cache.CachePolicy;
import java.util.List;

/**
 * Cache policies to measure under every sharing map. Each window is read as a generation would: its
 * first tokens are the prompt, then the others follow one at a time, and the cache policy drops
 * what it drops on the way. Only the tokens behind the prompt are scored, in every row.
 *
 * @param policies the cache policies, besides the cache that keeps everything
 * @param promptTokens tokens of each window that are the prompt; 0 for half of the window
 */
public record CacheComparison(List<CachePolicy> policies, int promptTokens) {
  /** Copies and checks. */
  public CacheComparison {
    policies = List.copyOf(policies);
    if (policies.isEmpty() || promptTokens < 0) {
      throw new IllegalArgumentException(
          "a comparison needs a cache policy and a prompt of at least 0 tokens, found %d and %d"
              .formatted(policies.size(), promptTokens));
    }
  }

  /**
   * The tokens of each window that are the prompt.
   *
   * @throws EvaluationException if nothing would be left to score
   */
  int promptTokens(int window) {
    int prompt = promptTokens == 0 ? window / 2 : promptTokens;
    if (prompt < 1 || prompt >= window) {
      throw new EvaluationException(
          "A prompt of %d tokens leaves nothing to score in a passage of %d. Use a shorter prompt or --passage-tokens %d."
              .formatted(prompt, window, 2 * prompt));
    }
    return prompt;
  }
}
