package dev.kvshare.eval;

/**
 * What a cache policy saves besides sharing.
 *
 * @param policy the name of the cache policy, or null where everything is kept
 * @param sharingFraction what the sharing policy keeps, by bytes, of all tokens of all layers
 * @param policyFraction bytes that the cache policy leaves of what those layers would keep
 * @param bytes the cache of one sequence as allocated at the end of a window
 */
public record CacheSavings(
    String policy, double sharingFraction, double policyFraction, long bytes) {}
