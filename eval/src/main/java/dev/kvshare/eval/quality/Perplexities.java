package dev.kvshare.eval.quality;

import java.util.List;
import java.util.stream.IntStream;

/**
 * Perplexity and its uncertainty. With window means m_w of the negative log-likelihood and W
 * windows of equal length, the perplexity is exp(m) with m the mean of the m_w. Its standard error
 * is exp(m) sd(m_w) / sqrt(W) (delta method): windows, not tokens, are the independent units, since
 * the losses within a window depend on each other. The ratio of two maps is paired: the same with
 * the differences of their m_w, which is much smaller because hard windows are hard for both.
 *
 * <p>A single window gives no spread; then the tokens are taken as the units, which understates the
 * error, and for the ratio it is not known (NaN).
 */
public final class Perplexities {
  private Perplexities() {}

  /** Returns the perplexity of {@code scores}. */
  public static Estimate perplexity(List<PassageScore> scores) {
    double[] means = scores.stream().mapToDouble(PassageScore::meanLoss).toArray();
    if (means.length > 1) {
      return exponential(means);
    }
    PassageScore only = scores.get(0);
    int tokens = only.tokens();
    double variance = only.squaredLoss() / tokens - only.meanLoss() * only.meanLoss();
    double value = Math.exp(only.meanLoss());
    return new Estimate(value, value * Math.sqrt(Math.max(0, variance) / tokens));
  }

  /** Returns the ratio of the perplexity of {@code scores} to that of {@code unshared}. */
  public static Estimate ratio(List<PassageScore> scores, List<PassageScore> unshared) {
    return exponential(
        IntStream.range(0, scores.size())
            .mapToDouble(w -> scores.get(w).meanLoss() - unshared.get(w).meanLoss())
            .toArray());
  }

  private static Estimate exponential(double[] means) {
    double mean = IntStream.range(0, means.length).mapToDouble(w -> means[w]).sum() / means.length;
    double squares = 0;
    for (double value : means) {
      squares += (value - mean) * (value - mean);
    }
    double standardError = Math.sqrt(squares / (means.length - 1) / means.length);
    return new Estimate(Math.exp(mean), Math.exp(mean) * standardError);
  }
}
