/** Hugging Face model directories with safetensors weights. */
package dev.kvshare.model.safetensors;
