/**
 * How each architecture of llama.cpp maps to a Hugging Face model: one table a file, of metadata
 * keys and of tensor names.
 */
package dev.kvshare.apply.model.gguf.architecture;
