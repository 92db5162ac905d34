/**
 * A model as a whole: opening it by its path, its fingerprint, weights that are finite. Start at
 * {@link dev.kvshare.apply.model.checkpoint.Checkpoints}.
 */
package dev.kvshare.apply.model.checkpoint;
