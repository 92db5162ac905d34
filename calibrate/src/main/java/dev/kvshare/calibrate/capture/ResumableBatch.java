package dev.kvshare.calibrate.capture;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Deque;
import java.util.List;

/**
 * A batch of samples under the accepted map, from which candidates resume at the first layer that
 * they change. Letters: B batch, T tokens, E hidden size.
 *
 * <p>Kept of the accepted map: the keys and values of every layer (a chain of forked caches, the
 * oldest at the end) and the hidden states [B, T, E] that enter every {@code stride}-th layer. The
 * states of layers in between are computed again from the stored ones below, which gives the same
 * numbers. States are made when a candidate first needs them.
 *
 * <p>A pass goes layer by layer, with any number of candidates in it:
 *
 * <pre>
 * begin(candidates)
 * for layer = firstLayer() to L - 1: step(layer)
 * last(c) of each candidate c
 * </pre>
 */
final class ResumableBatch implements AutoCloseable {
  private final Decoder decoder;
  private final SampleBatch batch;
  private final int layers;
  private final int stride;
  private final NDManager manager;
  private final Deque<KvCache> caches = new ArrayDeque<>();
  private final NDArray[] states;
  private final List<Candidate> candidates = new ArrayList<>();

  /** Layers of the accepted map that the pass runs. */
  private final BitSet running = new BitSet();

  /**
   * The accepted map's states that enter the next layer of the pass; null where they are stored.
   */
  private NDArray flowing;

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
    caches.push(newCache(SharingMap.identity(layers)));
  }

  SampleBatch batch() {
    return batch;
  }

  /** L. */
  int layers() {
    return layers;
  }

  /** Layers run so far times samples. */
  long evaluations() {
    return evaluations;
  }

  /**
   * Begins a pass of candidates, each of which runs from the first layer that it changes. Until the
   * next pass, {@link #accept} makes one of them the accepted map.
   *
   * @param maps the states of the first one are kept, for the case that it is accepted
   */
  void begin(List<SharingMap> maps) {
    endPass();
    for (SharingMap map : maps) {
      int first = firstChange(map);
      need(first);
      KvCache cache = caches.peek().fork(map, first);
      cache.advance(batch.tokens());
      candidates.add(
          new Candidate(cache, first, candidates.isEmpty() ? new NDArray[layers + 1] : null));
    }
  }

  /** Begins a pass of the accepted map to its end. */
  void begin() {
    endPass();
    need(layers);
  }

  /** The lowest layer that the pass runs; L where it runs none. */
  int firstLayer() {
    int lowest = candidates.stream().mapToInt(Candidate::first).min().orElse(layers);
    int next = running.nextSetBit(0);
    return next < 0 ? lowest : Math.min(lowest, next);
  }

  /** Runs one layer of the pass; the layers come in ascending order. */
  void step(int layer) {
    CalibrationException.Interrupted.check();
    NDArray entering = states[layer] == null ? flowing : states[layer];
    for (Candidate candidate : candidates) {
      if (candidate.first() <= layer) {
        NDArray hidden = candidate.first() == layer ? entering : candidate.hidden();
        candidate.advance(run(hidden, candidate.cache(), layer), layer + 1, isKept(layer + 1));
      }
    }
    NDArray next = running.get(layer) ? run(entering, writer(layer), layer) : null;
    close(flowing);
    flowing = next;
    if (next != null && isKept(layer + 1)) {
      states[layer + 1] = next;
      flowing = null;
    }
  }

  /**
   * The end of a pass for one candidate.
   *
   * @return last hidden states after the final norm, float32 [B, T, E] row-major
   */
  float[] last(int number) {
    Candidate candidate = candidates.get(number);
    float[] hidden = normed(candidate.hidden() == null ? flowing : candidate.hidden());
    candidate.closeHidden();
    return hidden;
  }

  /** The end of a pass of the accepted map, otherwise as {@link #last(int)}. */
  float[] last() {
    float[] hidden = normed(flowing);
    close(flowing);
    flowing = null;
    return hidden;
  }

  /**
   * Makes a map the accepted one. If it is not a candidate of the last pass, its states are made
   * when they are needed.
   */
  void accept(SharingMap map) {
    for (Candidate candidate : candidates) {
      if (candidate.cache().map().equals(map)) {
        candidates.remove(candidate);
        for (int layer = candidate.first() + 1; layer <= layers; layer++) {
          close(states[layer]);
          states[layer] = candidate.takeState(layer);
        }
        candidate.closeStates();
        caches.push(candidate.cache());
        endPass();
        return;
      }
    }
    restart(map);
  }

  /** Forgets all keys and values and all states but the lowest; they are made when needed. */
  void restart(SharingMap map) {
    endPass();
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
  void addTo(KvDistances sums) {
    KvCache cache = caches.peek();
    for (int layer : cache.map().owners()) {
      sums.add(layer, sum(cache.keys(layer)), sum(cache.values(layer)));
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

  /** Lets the pass run what is missing of the accepted map's states that enter a layer. */
  private void need(int layer) {
    if (states[0] == null) {
      states[0] = embed();
    }
    for (int below = layer; states[below] == null; below--) {
      running.set(below - 1);
    }
  }

  private boolean isKept(int layer) {
    return layer % stride == 0 && layer < layers;
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

  private NDArray run(NDArray hidden, KvCache cache, int layer) {
    cache.truncate(0);
    NDArray next = decoder.layers(hidden, cache, layer, layer + 1);
    cache.advance(batch.tokens());
    evaluations += batch.size();
    return next;
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

  private void endPass() {
    candidates.forEach(Candidate::close);
    candidates.clear();
    running.clear();
    close(flowing);
    flowing = null;
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
    endPass();
    closeCaches();
    manager.close();
  }

  /** A candidate map on its way through the layers. */
  private static final class Candidate implements AutoCloseable {
    private final KvCache cache;
    private final int first;
    private final NDArray[] statesOrNull;
    private NDArray hidden;
    private boolean stored;

    /**
     * @param cache forked for the candidate at its first layer
     * @param first the first layer that the candidate runs
     * @param statesOrNull room for the states that enter layers 0 to L; null to keep none
     */
    Candidate(KvCache cache, int first, NDArray[] statesOrNull) {
      this.cache = cache;
      this.first = first;
      this.statesOrNull = statesOrNull;
    }

    KvCache cache() {
      return cache;
    }

    int first() {
      return first;
    }

    /** The states [B, T, E] that enter the next layer; null before the first layer was run. */
    NDArray hidden() {
      return hidden;
    }

    /**
     * Goes on to a layer.
     *
     * @param next the states that enter it
     * @param kept whether they are wanted in case that the candidate is accepted
     */
    void advance(NDArray next, int layer, boolean kept) {
      closeHidden();
      hidden = next;
      stored = kept && statesOrNull != null;
      if (stored) {
        statesOrNull[layer] = next;
      }
    }

    /** Closes the states that enter the next layer unless they are kept. */
    void closeHidden() {
      if (hidden != null && !stored) {
        hidden.close();
      }
      hidden = null;
    }

    /** The kept states that enter a layer, from now on the caller's; null where there are none. */
    NDArray takeState(int layer) {
      NDArray state = statesOrNull == null ? null : statesOrNull[layer];
      if (state != null) {
        statesOrNull[layer] = null;
      }
      return state;
    }

    /** Closes everything but states that were taken; the cache too. */
    @Override
    public void close() {
      closeStates();
      cache.close();
    }

    /** Closes states that were not taken. */
    void closeStates() {
      closeHidden();
      if (statesOrNull != null) {
        for (int layer = 0; layer < statesOrNull.length; layer++) {
          NDArray state = takeState(layer);
          if (state != null) {
            state.close();
          }
        }
      }
    }
  }
}
