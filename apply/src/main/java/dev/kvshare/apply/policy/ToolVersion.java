package dev.kvshare.apply.policy;

/**
 * The program that wrote a policy.
 *
 * @param name name of the program
 * @param version its version
 */
public record ToolVersion(String name, String version) {}
