/**
 * What a checkpoint is, whatever its format: configuration, tensors, tokenizer, and the errors of
 * its files. Start at {@link dev.kvshare.apply.model.Checkpoint}.
 */
package dev.kvshare.apply.model;
