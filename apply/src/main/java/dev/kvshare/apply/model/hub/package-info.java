/** Models by name from the Hugging Face Hub, kept in the cache that its Python tools use. */
package dev.kvshare.apply.model.hub;
