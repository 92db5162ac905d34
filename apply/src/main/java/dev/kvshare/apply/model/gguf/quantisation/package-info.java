/** Unpacking of the quantised blocks of ggml, equal to its reference to the last bit. */
package dev.kvshare.apply.model.gguf.quantisation;
