package dev.kvshare.eval.speed;

/**
 * Medians over the rounds, batch 1.
 *
 * @param prefillTokensPerSecond tokens of the prompt a second
 * @param decodeTokensPerSecond new tokens a second
 * @param prefillSeconds time of the whole prompt
 */
public record Speed(
    double prefillTokensPerSecond, double decodeTokensPerSecond, double prefillSeconds) {}
