package dev.kvshare.apply.cache;

/**
 * Budgets that decrease over the layers: PyramidKV (Cai et al., arXiv 2406.02069, section 4) and
 * PyramidInfer (Yang et al., arXiv 2405.12532, section 4.2), whose common observation is that upper
 * layers need fewer tokens. The lowest owning layer gets most slots, the highest fewest, on a
 * straight line; each gives them out as {@link SnapKv} does.
 *
 * <table>
 * <caption>Symbols (PyramidKV, section 4.1)</caption>
 * <tr><th>paper</th><th>here</th></tr>
 * <tr><td>k^total / m, the mean budget</td><td>{@code budget}</td></tr>
 * <tr><td>alpha, local window</td><td>{@code window}</td></tr>
 * <tr><td>beta, steepness: the top layer gets 1 / beta of the mean</td><td>{@code steepness}</td></tr>
 * </table>
 *
 * <p>Deviations:
 *
 * <ul>
 *   <li>The pyramid is built over the layers that own a cache, so that its sum is the same under
 *       every sharing map. Without sharing budgets are those of kvpress' {@code PyramidKVPress}.
 *   <li>Where the top of the pyramid would be smaller than the window, it is the window and the
 *       bottom shrinks accordingly; kvpress then gives all layers the same.
 *   <li>Of PyramidInfer only the shape of the budgets and the votes of recent tokens are here: it
 *       decreases budgets geometrically, weighs votes by their distance, and drops tokens already
 *       while it reads the prompt, so that upper layers never compute them.
 * </ul>
 *
 * @param budget tokens of a prompt that a layer keeps in the mean, window included; a fraction is
 *     one of the prompt
 * @param window last tokens, which vote and stay
 * @param kernel width of the pooling, odd
 * @param steepness how many times more than the top layer the mean is, at least 1
 */
public record PyramidKv(TokenAmount budget, int window, int kernel, double steepness)
    implements CachePolicy {
  public static final String NAME = "pyramid";

  /** As in the authors' code. */
  public static final double DEFAULT_STEEPNESS = 20;

  public PyramidKv {
    SnapKv.requireWindow(window, kernel);
    if (!(steepness >= 1)) {
      throw new IllegalArgumentException(
          "the steepness of a pyramid must be at least 1, found " + steepness + ".");
    }
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String description() {
    return "PyramidKV: %s of the prompt in the mean over the layers, steepness %s"
        .formatted(budget, steepness);
  }

  @Override
  public KeepRule rule(int rank, int owners, int promptTokens) {
    double mean = budget.exact(promptTokens);
    double top = Math.max(window, mean / steepness);
    double bottom = 2 * mean - top;
    double most = promptTokens - window;
    if (bottom >= most) {
      bottom = most;
      top = 2 * mean - bottom;
    }
    if (owners == 1 || top > bottom) {
      return SnapKv.byVotes(Math.max(1, (int) Math.rint(mean)), window, kernel);
    }
    double step = (bottom - top) / (owners - 1);
    return SnapKv.byVotes((int) Math.rint(bottom - rank * step), window, kernel);
  }
}
