/**
 * The description of a model that the decoder runs, and what families share in reading it from
 * {@code config.json}: start at {@link dev.kvshare.apply.family.spec.ModelSpec}.
 */
package dev.kvshare.apply.family.spec;
