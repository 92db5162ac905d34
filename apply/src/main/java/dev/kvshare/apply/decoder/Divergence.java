package dev.kvshare.apply.decoder;

import java.util.Arrays;

/**
 * Sums over positions of how far next-token distributions are from those of a reference, such as
 * the unshared model.
 *
 * @param positions positions compared
 * @param divergence sum of KL(reference || judged), in nats
 * @param agreeing positions at which both hold the same token for the most likely
 * @param targets positions whose following token is known
 * @param referenceLoss sum of the negative log-likelihood of those tokens by the reference, in nats
 * @param loss the same by what is judged
 */
public record Divergence(
    long positions,
    double divergence,
    long agreeing,
    long targets,
    double referenceLoss,
    double loss) {

  /** Nothing compared yet. */
  public static final Divergence NONE = new Divergence(0, 0, 0, 0, 0, 0);

  /** Both sums together. */
  public Divergence plus(Divergence other) {
    return new Divergence(
        positions + other.positions,
        divergence + other.divergence,
        agreeing + other.agreeing,
        targets + other.targets,
        referenceLoss + other.referenceLoss,
        loss + other.loss);
  }

  /** Mean KL divergence in nats. */
  public double mean() {
    return divergence / positions;
  }

  /** The fraction of positions with the same most likely token. */
  public double agreement() {
    return (double) agreeing / positions;
  }

  /** Perplexity over that of the reference. */
  public double perplexityRatio() {
    return Math.exp((loss - referenceLoss) / targets);
  }

  /** The components in their order. */
  public double[] toArray() {
    return new double[] {positions, divergence, agreeing, targets, referenceLoss, loss};
  }

  /** From {@link #toArray}. */
  public static Divergence ofArray(double[] numbers) {
    if (numbers.length != 6) {
      throw new IllegalArgumentException(
          "a divergence has 6 sums, found " + Arrays.toString(numbers));
    }
    return new Divergence(
        Math.round(numbers[0]),
        numbers[1],
        Math.round(numbers[2]),
        Math.round(numbers[3]),
        numbers[4],
        numbers[5]);
  }
}
