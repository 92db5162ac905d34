/**
 * How the weights of a decoder come into memory and are replaced: start at {@link
 * dev.kvshare.apply.decoder.weights.WeightLoader}.
 */
package dev.kvshare.apply.decoder.weights;
