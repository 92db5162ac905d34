package dev.kvshare.eval.quality;

/**
 * What a map makes of one window. All logarithms are natural.
 *
 * @param tokens scored tokens: all of the window but the first
 * @param loss negative log-likelihood, summed over the tokens
 * @param squaredLoss its square, summed over the tokens
 * @param divergence Kullback-Leibler divergence from the unshared model, summed over the tokens
 * @param agreements positions whose most likely next token is the unshared model's
 */
public record PassageScore(
    int tokens, double loss, double squaredLoss, double divergence, int agreements) {
  double meanLoss() {
    return loss / tokens;
  }
}
