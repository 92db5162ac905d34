package dev.kvshare.runtime;

import ai.djl.ndarray.NDArray;
import dev.kvshare.policy.SharingMap;

/**
 * Keys and values of the layers that keep their own, for B sequences. Made by {@link
 * Decoder#newCache}; closing it frees its tensors.
 */
public final class KvCache implements AutoCloseable {
  private final SharingMap map;
  private final int batch;

  KvCache(SharingMap map, int batch) {
    this.map = map;
    this.batch = batch;
  }

  /** Which layer reads whose keys and values. */
  public SharingMap map() {
    return map;
  }

  /** B. */
  public int batch() {
    return batch;
  }

  /** Positions that hold keys and values. */
  public int length() {
    return pending();
  }

  /** Positions for which memory is allocated. */
  public int capacity() {
    return pending();
  }

  /** Bytes of the tensors that this cache owns (not those read through a fork), as allocated. */
  public long bytes() {
    return pending();
  }

  /** Counts {@code tokens} positions behind the end as filled. */
  public void advance(int tokens) {
    pending();
  }

  /** Forgets the positions from {@code length} on. */
  public void truncate(int length) {
    pending();
  }

  /**
   * Keys after rotary embedding.
   *
   * @param layer a layer that keeps its own
   * @return view [B, Hkv, length, D] in the compute type, valid until the cache grows; the caller
   *     closes it
   */
  public NDArray keys(int layer) {
    return pending();
  }

  /** Values, otherwise as {@link #keys}. */
  public NDArray values(int layer) {
    return pending();
  }

  /**
   * A cache for another map that reads this one's tensors for the owners below {@code fromLayer}
   * and has its own for the owners from there on. Same batch, length and positions; this cache must
   * outlive it and keep its length meanwhile. Resumes a candidate map at its first changed layer.
   *
   * @param map equal to this one's map below {@code fromLayer}
   * @param fromLayer the first layer that is run anew
   */
  public KvCache fork(SharingMap map, int fromLayer) {
    return pending();
  }

  @Override
  public void close() {
    pending();
  }

  @SuppressWarnings("TypeParameterUnusedInFormals")
  private static <T> T pending() {
    throw new UnsupportedOperationException();
  }
}
