/**
 * GGUF files, presented as Hugging Face models. {@code GgufCheckpoint} opens one: the header is
 * read ({@code HeaderReader}), the tensors are found ({@code TensorTable}), names and keys
 * translated ({@code Translation}, by the tables in {@code Architectures}), and quantised blocks
 * unpacked when they are read ({@code BlockDecoders}, equal to ggml's reference to the last bit).
 */
package dev.kvshare.apply.model.gguf;
