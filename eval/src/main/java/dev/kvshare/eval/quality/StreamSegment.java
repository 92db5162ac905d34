package dev.kvshare.eval.quality;

import java.util.OptionalLong;

/**
 * A stretch of a long text that was read through one cache.
 *
 * @param tokens tokens of the text read when the stretch ended
 * @param perplexity of the stretch alone
 * @param kvBytes bytes of the cache as allocated then
 * @param residentBytes resident memory of the process then, where the system tells
 */
public record StreamSegment(
    int tokens, double perplexity, long kvBytes, OptionalLong residentBytes) {}
