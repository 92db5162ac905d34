package dev.kvshare.apply.family.spec;

import java.util.List;

/**
 * Rotary position embedding.
 *
 * @param base theta
 * @param dimensions leading dimensions of a head that are rotated, even; the rest passes through
 * @param scaling how the frequencies depend on the context
 */
public record RotarySpec(double base, int dimensions, Scaling scaling) {

  /** A way to stretch the rotary frequencies beyond the trained context. */
  public sealed interface Scaling {}

  public record Unscaled() implements Scaling {}

  /** Positions divided by {@code factor}. */
  public record Linear(double factor) implements Scaling {}

  /** The base grows with the sequence once it is longer than the trained context. */
  public record Dynamic(double factor, int trainedPositions) implements Scaling {}

  /**
   * Llama 3.1: long waves are slowed down by {@code factor}, short ones kept, between them a ramp.
   */
  public record Llama3(
      double factor, double lowFrequencyFactor, double highFrequencyFactor, int trainedPositions)
      implements Scaling {}

  /**
   * YaRN (arXiv 2309.00071).
   *
   * @param attentionFactor multiplies cosine and sine
   * @param truncate whether the bounds of the ramp are rounded to whole dimensions
   */
  public record Yarn(
      double factor,
      double attentionFactor,
      double betaFast,
      double betaSlow,
      int trainedPositions,
      boolean truncate)
      implements Scaling {}

  /**
   * LongRoPE (arXiv 2402.13753): one divisor a frequency, another set for sequences beyond the
   * trained context.
   *
   * @param shortFactors divisors up to {@code trainedPositions}, one a rotated pair
   * @param longFactors divisors beyond
   * @param attentionFactor multiplies cosine and sine
   */
  public record LongRope(
      List<Double> shortFactors,
      List<Double> longFactors,
      double attentionFactor,
      int trainedPositions)
      implements Scaling {
    public LongRope {
      shortFactors = List.copyOf(shortFactors);
      longFactors = List.copyOf(longFactors);
    }
  }

  /** The longest sequence that the scaling is made for; {@code configured} where it says none. */
  public int positions(int configured) {
    double scaled =
        scaling instanceof Linear linear
            ? linear.factor() * configured
            : scaling instanceof Dynamic dynamic
                ? dynamic.factor() * dynamic.trainedPositions()
                : scaling instanceof Yarn yarn ? yarn.factor() * yarn.trainedPositions() : 0;
    return (int) Math.max(configured, Math.min(scaled, Integer.MAX_VALUE));
  }

  /** Whether the frequencies depend on the length of the sequence at hand. */
  public boolean dependsOnLength() {
    return scaling instanceof Dynamic || scaling instanceof LongRope;
  }

  /** Whether keys of a short text are of no use once it has grown long. */
  public boolean hasTwoRegimes() {
    return scaling instanceof LongRope;
  }
}
