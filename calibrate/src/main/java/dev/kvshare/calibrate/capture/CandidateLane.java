package dev.kvshare.calibrate.capture;

import ai.djl.ndarray.NDArray;
import dev.kvshare.apply.decoder.KvCache;

/** A candidate on its way through the layers with one batch of samples. */
final class CandidateLane implements AutoCloseable {
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
  CandidateLane(KvCache cache, int first, NDArray[] statesOrNull) {
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
