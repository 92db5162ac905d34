/**
 * Cache policies: what of the keys and values of a layer that keeps its own stays, and in which
 * number format. One file a method, behind {@link dev.kvshare.apply.cache.CachePolicy}.
 *
 * <p>A method says in a {@link dev.kvshare.apply.cache.KeepRule} how many slots a layer has and
 * which tokens come first when they are given out; the runtime ({@link
 * dev.kvshare.apply.decoder.CompressedCache}) does it. No method knows of sharing: layers that read
 * another layer's keys and values find what that layer kept.
 */
package dev.kvshare.apply.cache;
