package dev.kvshare.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.runtime.Decoder;
import dev.kvshare.runtime.KvCache;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * A batch of samples under the accepted map, from which candidates resume at the first layer that
 * they change. Letters: B batch, T tokens, E hidden size.
 *
 * <p>Kept of the accepted map: the keys and values of every layer (a chain of forked caches, the
 * oldest at the end) and the hidden states [B, T, E] that enter every {@code stride}-th layer. The
 * states of layers in between are computed again from the stored ones below, which gives the same
 * numbers. States are made when a candidate first needs them.
 */
final class ResumableBatch implements AutoCloseable {
  private final Decoder decoder;
  private final SampleBatch batch;
  private final int layers;
  private final int stride;
  private final NDManager manager;
  private final Deque<KvCache> caches = new ArrayDeque<>();
  private final NDArray[] states;

  /** The last candidate: its cache and its states, null where there are none. */
  private KvCache candidateCache;

  private final NDArray[] candidateStates;
  private long evaluations;

  /**
   * A batch under the identity map with nothing run.
   *
   * @param stride distance in layers of the hidden states that are kept
   */
  ResumableBatch(Decoder decoder, SampleBatch batch, int stride) {
    this.decoder = decoder;
    this.batch = batch;
    this.layers = decoder.spec().layers();
    this.stride = stride;
    this.manager = decoder.newManager();
    this.states = new NDArray[layers + 1];
    this.candidateStates = new NDArray[layers + 1];
    caches.push(newCache(SharingMap.identity(layers)));
  }

  SampleBatch batch() {
    return batch;
  }

  /** The map of the last candidate, null if it was accepted or there was none. */
  SharingMap candidate() {
    return candidateCache == null ? null : candidateCache.map();
  }

  /** Layers run so far times samples. */
  long evaluations() {
    return evaluations;
  }

  /**
   * Runs the rest of the accepted map.
   *
   * @return last hidden states after the final norm, float32 [B, T, E] row-major
   */
  float[] runAccepted() {
    NDArray last = accepted(layers);
    float[] hidden = normed(last);
    discard(last);
    return hidden;
  }

  /**
   * Runs a candidate from the first layer that it changes; {@link #accept} makes it the accepted
   * map.
   *
   * @return last hidden states after the final norm, float32 [B, T, E] row-major
   */
  float[] runCandidate(SharingMap candidate) {
    dropCandidate();
    int first = firstChange(candidate);
    NDArray hidden = accepted(first);
    candidateCache = caches.peek().fork(candidate, first);
    candidateCache.advance(batch.tokens());
    NDArray last = run(hidden, first, layers, candidateStates);
    discard(hidden);
    float[] normed = normed(last);
    last.close();
    return normed;
  }

  /** Makes the last candidate the accepted map. */
  void accept() {
    int first = firstChange(candidateCache.map());
    for (int layer = first + 1; layer <= layers; layer++) {
      close(states[layer]);
      states[layer] = candidateStates[layer];
      candidateStates[layer] = null;
    }
    caches.push(candidateCache);
    candidateCache = null;
  }

  /** Starts again from a map that was accepted earlier; its states are made when needed. */
  void restart(SharingMap map) {
    dropCandidate();
    closeCaches();
    for (int layer = 1; layer <= layers; layer++) {
      close(states[layer]);
      states[layer] = null;
    }
    caches.push(newCache(map));
  }

  /** Bytes of the keys and values that are held for accepted maps. */
  long cacheBytes() {
    return caches.stream().mapToLong(KvCache::bytes).sum();
  }

  /**
   * Sums of the keys and of the values that every layer made under the accepted map, which must
   * have been run to its end.
   */
  void addTo(KvAverages averages) {
    KvCache cache = caches.peek();
    for (int layer : cache.map().owners()) {
      averages.add(layer, sum(cache.keys(layer)), sum(cache.values(layer)));
    }
  }

  /** Sum over samples of [B, Hkv, T, D], closed then: float32 [Hkv, T, D] row-major. */
  private static float[] sum(NDArray tensor) {
    try (tensor;
        NDArray wide = tensor.toType(DataType.FLOAT32, true);
        NDArray sum = wide.sum(new int[] {0})) {
      return sum.toFloatArray();
    }
  }

  /** The hidden states that enter {@code layer} under the accepted map; stored or to be closed. */
  private NDArray accepted(int layer) {
    int from = layer;
    while (from > 0 && states[from] == null) {
      from--;
    }
    if (states[0] == null) {
      states[0] = embed();
    }
    return run(states[from], from, layer, states);
  }

  private NDArray embed() {
    try (NDArray ids = manager.create(batch.ids(), new Shape(batch.size(), batch.tokens()))) {
      KvCache cache = caches.peek();
      cache.truncate(0);
      NDArray hidden = decoder.embed(ids, cache);
      cache.advance(batch.tokens());
      return hidden;
    }
  }

  /** A cache that counts all positions as filled, as every cache here does between two layers. */
  private KvCache newCache(SharingMap map) {
    KvCache cache = decoder.newCache(map, batch.size(), batch.tokens());
    cache.advance(batch.tokens());
    return cache;
  }

  /**
   * Runs layers and keeps the states that enter every stride-th one.
   *
   * @param kept {@link #states} for the accepted map, {@link #candidateStates} for the candidate
   */
  private NDArray run(NDArray input, int from, int to, NDArray[] kept) {
    NDArray hidden = input;
    for (int layer = from; layer < to; layer++) {
      Interrupts.check();
      KvCache cache = kept == candidateStates ? candidateCache : writer(layer);
      cache.truncate(0);
      NDArray next = decoder.layers(hidden, cache, layer, layer + 1);
      cache.advance(batch.tokens());
      evaluations += batch.size();
      if (hidden != input && hidden != kept[layer]) {
        hidden.close();
      }
      if ((layer + 1) % stride == 0 && layer + 1 < layers) {
        close(kept[layer + 1]);
        kept[layer + 1] = next;
      }
      hidden = next;
    }
    return hidden;
  }

  /** The cache of the chain that holds the keys and values of a layer under the accepted map. */
  private KvCache writer(int layer) {
    for (KvCache cache : caches) {
      if (cache.fromLayer() <= layer) {
        return cache;
      }
    }
    throw new IllegalStateException("no cache holds layer " + layer);
  }

  private float[] normed(NDArray hidden) {
    try (NDArray normed = decoder.finalNorm(hidden);
        NDArray wide = normed.toType(DataType.FLOAT32, true)) {
      return wide.toFloatArray();
    }
  }

  private int firstChange(SharingMap candidate) {
    SharingMap map = caches.peek().map();
    int layer = 0;
    while (layer < layers && map.source(layer) == candidate.source(layer)) {
      layer++;
    }
    return layer;
  }

  private void dropCandidate() {
    for (int layer = 0; layer <= layers; layer++) {
      close(candidateStates[layer]);
      candidateStates[layer] = null;
    }
    if (candidateCache != null) {
      candidateCache.close();
      candidateCache = null;
    }
  }

  private void discard(NDArray hidden) {
    for (NDArray state : states) {
      if (state == hidden) {
        return;
      }
    }
    hidden.close();
  }

  private static void close(NDArray array) {
    if (array != null) {
      array.close();
    }
  }

  private void closeCaches() {
    while (!caches.isEmpty()) {
      caches.pop().close();
    }
  }

  @Override
  public void close() {
    dropCandidate();
    closeCaches();
    manager.close();
  }
}
