package dev.kvshare.apply.policy;

/**
 * The short training of the weights behind a repair.
 *
 * @param steps changes of the weights
 * @param taken whether the trained weights replaced those of the repair
 * @param divergenceBefore mean KL divergence of the next-token distributions from the unshared
 *     model's before the training, in nats, on the tokens of {@link Validation}
 * @param divergence the same with the weights that were taken in the end
 */
public record HealingReport(int steps, boolean taken, double divergenceBefore, double divergence) {

  /** Rounds to the digits that the policy file keeps. */
  public HealingReport {
    divergenceBefore = Digits.round(divergenceBefore);
    divergence = Digits.round(divergence);
  }
}
