/**
 * Compares a model with stored outputs: start at {@link dev.kvshare.eval.check.CheckpointCheck}.
 */
package dev.kvshare.eval.check;
