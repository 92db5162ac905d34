/**
 * Text to token ids and back, and chat messages to prompts.
 *
 * <p>Two kinds of files carry a tokenizer: a Hugging Face directory ({@code tokenizer.json} with
 * its companions) and the metadata of a GGUF file, from which an equivalent {@code tokenizer.json}
 * is made in memory. Both end in the same native library, so that ids are those of the reference
 * tokenizer. Chat templates are the models' own Jinja templates.
 */
package dev.kvshare.apply.model.tokenizer;
