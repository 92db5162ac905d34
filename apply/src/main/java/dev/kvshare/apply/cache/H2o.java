package dev.kvshare.apply.cache;

import dev.kvshare.apply.cache.KeepRule.EvictionTime;
import dev.kvshare.apply.cache.KeepRule.Observation;

/**
 * H2O (Zhang et al., "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language
 * Models", arXiv 2306.14048, section 4): half of the slots go to the last tokens, the others to
 * those that received most attention so far, for each key/value head on its own. Positions stay
 * those of the text.
 *
 * <table>
 * <caption>Symbols (algorithm 1)</caption>
 * <tr><th>paper</th><th>here</th></tr>
 * <tr><td>k, the cache size</td><td>{@code budget}</td></tr>
 * <tr><td>F_score, accumulated attention</td><td>sum over queries and over the query heads of the key/value head</td></tr>
 * <tr><td>"recent", half of k</td><td>{@code recent}</td></tr>
 * </table>
 *
 * <p>Deviations:
 *
 * <ul>
 *   <li>The attention of every layer that reads the cache counts, not only the owner's: a token
 *       that only a reader needs stays.
 *   <li>Room is made before a token is written, so a layer never holds more than {@code budget}
 *       tokens (the authors evict behind the attention and hold one more for that time).
 *   <li>Heads that share a key/value head (grouped-query attention) decide together.
 * </ul>
 *
 * kvpress has no H2O; its {@code ObservedAttentionPress}, which its authors call related, divides
 * by the number of queries that could see a token, has no recent tokens and works on prompts only:
 * {@code averaged} and {@code recent} 0 keep the same tokens of a prompt.
 *
 * @param budget tokens that a layer keeps; a fraction is one of the prompt
 * @param recent last tokens that stay; a fraction is one of the budget
 * @param averaged whether accumulated attention is divided by the number of queries
 */
public record H2o(TokenAmount budget, TokenAmount recent, boolean averaged) implements CachePolicy {
  public static final String NAME = "h2o";

  /** Half of the budget, as in the paper. */
  public static final TokenAmount DEFAULT_RECENT = TokenAmount.fraction(0.5);

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String description() {
    return "H2O: %s, of which recent %s".formatted(budget, recent);
  }

  @Override
  public KeepRule rule(int rank, int owners, int promptTokens) {
    int slots = Math.max(1, budget.of(promptTokens));
    Observation observation = new Observation(Observation.EVERY_QUERY, averaged, 1);
    return new KeepRule(
        slots, 0, recent.of(slots), observation, EvictionTime.WHILE_DECODING, false);
  }
}
