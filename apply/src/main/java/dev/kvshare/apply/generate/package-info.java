/**
 * Loading a model under a policy and generating with it.
 *
 * <p>{@link dev.kvshare.apply.generate.PolicyModel} is the entry: it opens the checkpoint, checks
 * that the policy was made for it, and generates. A request goes one way: prompts to ids, one
 * prefill, then one decoding step a token, in which each row's logits pass its {@code Sampler}, and
 * its ids the streaming decoder and the stop strings on their way to the {@link
 * dev.kvshare.apply.generate.TokenListener}.
 */
package dev.kvshare.apply.generate;
