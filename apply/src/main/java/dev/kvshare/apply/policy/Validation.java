package dev.kvshare.apply.policy;

/**
 * How near a policy's map comes to the unshared model on text that it was not fitted to.
 *
 * @param tokens tokens of that text
 * @param similarity mean cosine similarity of the last hidden states
 * @param divergence mean KL divergence of the next-token distributions from the unshared model's,
 *     in nats
 * @param perplexityRatio perplexity over that of the unshared model
 * @param agreement fraction of positions with the same most likely token
 * @param plainDivergence the divergence of the same map without refitted weights, in nats
 */
public record Validation(
    long tokens,
    double similarity,
    double divergence,
    double perplexityRatio,
    double agreement,
    double plainDivergence) {

  /** Rounds to the digits that the policy file keeps. */
  public Validation {
    similarity = Digits.round(similarity);
    divergence = Digits.round(divergence);
    perplexityRatio = Digits.round(perplexityRatio);
    agreement = Digits.round(agreement);
    plainDivergence = Digits.round(plainDivergence);
  }
}
