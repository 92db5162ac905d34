package dev.kvshare.eval.quality;

/**
 * A measured value.
 *
 * @param value the value
 * @param standardError its standard error, in the same unit
 */
public record Estimate(double value, double standardError) {}
