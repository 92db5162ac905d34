package dev.kvshare.eval.quality;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What a plan makes of one passage. All logarithms are natural.
 *
 * <p>With l_w the negative log-likelihood and n_w the scored tokens of W passages, the perplexity
 * is exp(m) with m the sum of the l_w over that of the n_w. Its standard error is exp(m) sd(l_w - m
 * n_w) / (mean(n_w) sqrt(W)) (delta method): passages, not tokens, are the independent units, since
 * the losses within a passage depend on each other. The ratio of two plans is paired: the same with
 * the differences of their l_w, which is much smaller because hard passages are hard for both.
 *
 * <p>A single passage gives no spread; then the tokens are taken as the units, which understates
 * the error, and for the ratio it is not known (NaN).
 *
 * @param tokens scored tokens
 * @param loss negative log-likelihood, summed over the tokens
 * @param squaredLoss its square, summed over the tokens
 * @param divergence Kullback-Leibler divergence from the unshared model, summed over the tokens
 * @param agreements positions whose most likely next token is the unshared model's
 */
public record PassageScore(
    int tokens, double loss, double squaredLoss, double divergence, int agreements) {

  static final PassageScore NONE = new PassageScore(0, 0, 0, 0, 0);

  /**
   * A measured value.
   *
   * @param value the value
   * @param standardError its standard error, in the same unit
   */
  public record Estimate(double value, double standardError) {}

  /** The perplexity of all passages together. */
  public static Estimate perplexity(List<PassageScore> scores) {
    if (scores.size() > 1) {
      return exponential(scores, scores.stream().mapToDouble(PassageScore::loss).toArray());
    }
    PassageScore only = scores.get(0);
    int tokens = only.tokens();
    double mean = only.loss() / tokens;
    double value = Math.exp(mean);
    double variance = only.squaredLoss() / tokens - mean * mean;
    return new Estimate(value, value * Math.sqrt(Math.max(0, variance) / tokens));
  }

  /** The ratio of the perplexity of {@code scores} to that of {@code unshared}. */
  public static Estimate ratio(List<PassageScore> scores, List<PassageScore> unshared) {
    return exponential(
        scores,
        IntStream.range(0, scores.size())
            .mapToDouble(w -> scores.get(w).loss() - unshared.get(w).loss())
            .toArray());
  }

  /**
   * Adds C positions of each of B passages to the scores of these passages.
   *
   * @param losses negative log-likelihood of the tokens, [B, C] row-major as all others
   * @param divergences Kullback-Leibler divergence from the unshared model
   * @param choices the most likely tokens
   * @param expected the unshared model's most likely tokens
   */
  static void add(
      PassageScore[] scores, float[] losses, float[] divergences, long[] choices, long[] expected) {
    int positions = losses.length / scores.length;
    for (int i = 0; i < losses.length; i++) {
      PassageScore before = scores[i / positions];
      double loss = losses[i];
      scores[i / positions] =
          new PassageScore(
              before.tokens + 1,
              before.loss + loss,
              before.squaredLoss + loss * loss,
              before.divergence + divergences[i],
              before.agreements + (choices[i] == expected[i] ? 1 : 0));
    }
  }

  /** The exponential of the mean of sums over the tokens of each passage. */
  private static Estimate exponential(List<PassageScore> scores, double[] sums) {
    int passages = scores.size();
    double tokens = scores.stream().mapToDouble(PassageScore::tokens).sum();
    double mean = Arrays.stream(sums).sum() / tokens;
    double squares =
        IntStream.range(0, passages)
            .mapToDouble(w -> Math.pow(sums[w] - mean * scores.get(w).tokens(), 2))
            .sum();
    double spread = Math.sqrt(squares / (passages - 1) / passages) * passages / tokens;
    return new Estimate(Math.exp(mean), Math.exp(mean) * spread);
  }
}
