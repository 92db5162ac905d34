/**
 * How the weights of a decoder come into memory, are passed to the script and are replaced: start
 * at {@link dev.kvshare.apply.decoder.weights.ModelWeights}.
 */
package dev.kvshare.apply.decoder.weights;
