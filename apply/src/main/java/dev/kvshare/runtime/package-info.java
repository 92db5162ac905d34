/** The decoder and its KV cache. */
package dev.kvshare.runtime;
