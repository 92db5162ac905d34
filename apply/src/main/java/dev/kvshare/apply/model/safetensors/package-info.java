/**
 * Hugging Face model directories with safetensors weights: {@link
 * dev.kvshare.apply.model.safetensors.SafetensorsDirectory} opens one, {@link
 * dev.kvshare.apply.model.safetensors.SafetensorsFile} has the format.
 */
package dev.kvshare.apply.model.safetensors;
