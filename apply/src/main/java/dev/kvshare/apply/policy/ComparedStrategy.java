package dev.kvshare.apply.policy;

/**
 * What one of several strategies found, measured after a short repair on the windows of the search.
 *
 * @param strategy its name
 * @param sharedLayers layers that share in its map
 * @param reached whether that is the size asked for, within the limits
 * @param divergence mean KL divergence of the next-token distributions from the unshared model's,
 *     in nats
 * @param perplexityRatio perplexity over that of the unshared model
 * @param agreement fraction of positions with the same most likely token
 * @param similarity mean cosine similarity of the last hidden states
 */
public record ComparedStrategy(
    String strategy,
    int sharedLayers,
    boolean reached,
    double divergence,
    double perplexityRatio,
    double agreement,
    double similarity) {

  /** Rounds to the digits that the policy file keeps. */
  public ComparedStrategy {
    divergence = Digits.round(divergence);
    perplexityRatio = Digits.round(perplexityRatio);
    agreement = Digits.round(agreement);
    similarity = Digits.round(similarity);
  }
}
