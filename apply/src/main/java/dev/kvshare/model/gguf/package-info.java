/** GGUF files, presented as Hugging Face models. */
package dev.kvshare.model.gguf;
