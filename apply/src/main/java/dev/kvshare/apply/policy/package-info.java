/**
 * The policy file: a plan for one model with refitted weights, savings and provenance. Start
 * reading at {@link dev.kvshare.apply.policy.Policy}; {@link dev.kvshare.apply.policy.PolicyFile}
 * reads and writes it as {@code policy-2.schema.json} says, and files of version 1 are turned into
 * version 2 when they are read.
 */
package dev.kvshare.apply.policy;
