package dev.kvshare.eval;

import dev.kvshare.eval.quality.Estimate;
import dev.kvshare.eval.speed.Speed;

/**
 * What was measured of one sharing map.
 *
 * @param policy the name of the policy, or null for the unshared model
 * @param perplexity on the windows, with its standard error over them
 * @param ratio of this perplexity to the unshared model's on the same windows, with its standard
 *     error; 1 and 0 for the unshared model
 * @param divergence mean Kullback-Leibler divergence of the next-token distributions from the
 *     unshared model's, in nats a token
 * @param agreement share of positions at which the most likely next token is the unshared model's
 * @param kvFraction bytes of the KV cache as a fraction of the unshared model's, at the end of a
 *     window of the text: what layers that a policy restricts keep does not grow with it
 * @param kvBytesPerToken bytes of the KV cache of one sequence by tokens, there as well
 * @param cache what a cache policy saves, or null if none was asked for
 * @param speed the speed, or null if it was not measured
 */
public record EvaluationRow(
    String policy,
    Estimate perplexity,
    Estimate ratio,
    double divergence,
    double agreement,
    double kvFraction,
    long kvBytesPerToken,
    CacheSavings cache,
    Speed speed) {

  /** The same with the speed that was measured by {@link Evaluator#speed}. */
  public EvaluationRow withSpeed(Speed measured) {
    return new EvaluationRow(
        policy,
        perplexity,
        ratio,
        divergence,
        agreement,
        kvFraction,
        kvBytesPerToken,
        cache,
        measured);
  }

  /** The same for a policy that runs in the same way. */
  public EvaluationRow named(String other) {
    return new EvaluationRow(
        other, perplexity, ratio, divergence, agreement, kvFraction, kvBytesPerToken, cache, speed);
  }
}
