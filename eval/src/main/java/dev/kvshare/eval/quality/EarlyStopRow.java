package dev.kvshare.eval.quality;

import dev.kvshare.eval.speed.Speed;

/**
 * What ending the passes of a policy early saves and changes. Differences are those from the same
 * policy with all of its passes.
 *
 * @param policy the name of the policy, or null for the unshared model
 * @param tolerance the change of hidden states at which passes end; 0 where all are run
 * @param passes over each iterated group that were run, on average; 0 for the unshared model
 * @param layersPerToken layers that each token of a prompt goes through
 * @param hiddenChange the largest change of a token's last hidden state, relative to its length
 * @param logitDifference the largest difference of a logit
 * @param perplexity on the windows
 * @param divergence mean Kullback-Leibler divergence of the next-token distributions, in nats
 * @param agreement share of positions with the same most likely next token
 * @param speed the speed, or null if it was not measured
 */
public record EarlyStopRow(
    String policy,
    double tolerance,
    double passes,
    double layersPerToken,
    double hiddenChange,
    double logitDifference,
    double perplexity,
    double divergence,
    double agreement,
    Speed speed) {

  public EarlyStopRow withSpeed(Speed other) {
    return new EarlyStopRow(
        policy,
        tolerance,
        passes,
        layersPerToken,
        hiddenChange,
        logitDifference,
        perplexity,
        divergence,
        agreement,
        other);
  }
}
