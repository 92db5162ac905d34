package dev.kvshare.apply.cache;

/**
 * StreamingLLM (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", arXiv
 * 2309.17453, section 3.2): the first tokens, on which attention rests whatever they say, and a
 * window of the last ones stay; everything between is forgotten. Positions are those inside the
 * cache, so a text may be of any length.
 *
 * <table>
 * <caption>Symbols</caption>
 * <tr><th>paper</th><th>here</th></tr>
 * <tr><td>x + y, "attention sinks + rolling KV cache"</td><td>{@code sinks}, {@code budget - sinks}</td></tr>
 * </table>
 *
 * <p>Deviations from the authors' code:
 *
 * <ul>
 *   <li>Their keys are cached before the rotary embedding and all of them rotated at every step.
 *       Here keys are cached rotated: among the tokens of the window only distances count, which do
 *       not change, and towards the sinks the query is turned to its position inside the cache
 *       instead. The scores are the same.
 *   <li>The token at hand counts: it sees {@code budget} tokens with itself (the authors: the cache
 *       and itself). A budget one larger gives theirs.
 *   <li>Prompts are read in chunks, each query seeing sinks and window only, as if token by token.
 *       The authors' demonstration reads a prompt with full attention, and evicts then.
 * </ul>
 *
 * kvpress' {@code StreamingLLMPress} keeps the same tokens of a prompt with {@code n_sink = sinks},
 * but leaves positions as they are and stops evicting after the prompt.
 *
 * @param budget tokens that a layer keeps, sinks included; a fraction is one of the prompt
 * @param sinks first tokens that stay
 */
public record StreamingLlm(TokenAmount budget, int sinks) implements CachePolicy {
  public static final String NAME = "streaming-llm";

  /** Sinks of the paper. */
  public static final int DEFAULT_SINKS = 4;

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String description() {
    return "StreamingLLM: %d sinks and the last tokens, %s in all".formatted(sinks, budget);
  }

  @Override
  public boolean endless() {
    return true;
  }

  @Override
  public KeepRule rule(int rank, int owners, int promptTokens) {
    int slots = Math.max(1, budget.of(promptTokens));
    if (slots <= sinks) {
      throw new IllegalArgumentException(
          "%d sinks leave no room for recent tokens in a StreamingLLM budget of %d tokens. Give a larger budget or fewer sinks."
              .formatted(sinks, slots));
    }
    return KeepRule.window(sinks, slots - sinks, true);
  }
}
