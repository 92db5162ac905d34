package dev.kvshare.apply.decoder;

import dev.kvshare.apply.plan.SharingMap;

/**
 * Keys and values of a generation: all of them ({@link KvCache}) or what a cache policy keeps
 * ({@link CompressedCache}). Closing it frees its tensors.
 */
public sealed interface DecodingCache extends AutoCloseable permits KvCache, CompressedCache {

  /** Which layer reads whose keys and values. */
  SharingMap map();

  /** B. */
  int batch();

  /** Tokens of the text so far, padding included. */
  int length();

  /** Bytes of the tensors that this cache owns, as allocated. */
  long bytes();

  /**
   * The most bytes of keys and values that were there at once since the cache was made, those of a
   * layer that an exact prefill passed through included.
   */
  long mostBytes();

  /**
   * Leaves other rows in place of those there are, as a search over several continuations does.
   *
   * @param rows for each new row the number of the one that it is a copy of
   */
  void select(int... rows);

  /**
   * A cache of its own with copies of chosen rows, which goes on from where this one is.
   *
   * @param rows for each row of the copy the number of the one here
   */
  DecodingCache copy(int... rows);

  @Override
  void close();
}
