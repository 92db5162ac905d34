/** GGUF files, presented as Hugging Face models. */
package dev.kvshare.apply.model.gguf;
