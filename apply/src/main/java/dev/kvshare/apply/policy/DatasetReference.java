package dev.kvshare.apply.policy;

/**
 * The text that a policy was calibrated on.
 *
 * @param name the file name or the name of the data set
 * @param sha256 64 hexadecimal digits over its bytes, or null
 */
public record DatasetReference(String name, String sha256) {}
