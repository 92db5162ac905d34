/** Hugging Face model directories with safetensors weights. */
package dev.kvshare.apply.model.safetensors;
