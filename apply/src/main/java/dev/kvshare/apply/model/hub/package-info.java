/**
 * Models and data sets by name from the Hugging Face Hub, kept in the cache that its Python tools
 * use. Start at {@link dev.kvshare.apply.model.hub.ModelLocator}.
 */
package dev.kvshare.apply.model.hub;
