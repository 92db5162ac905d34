/**
 * What a checkpoint computes: one description that covers every decoder family ({@link
 * dev.kvshare.apply.family.spec.ModelSpec}), and one small declarative mapping per family from its
 * {@code config.json} and tensor names to that description.
 */
package dev.kvshare.apply.family;
