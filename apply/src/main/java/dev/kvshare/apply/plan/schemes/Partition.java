package dev.kvshare.apply.plan.schemes;

/** How layers are parted (arXiv 2410.14442, section 3); ordinary layers keep their own cache. */
public enum Partition {
  /** Ordinary layers at the bottom, then one group: the crust and what is on it. */
  PIZZA,
  /** Ordinary layers at both ends, one group in between. */
  SANDWICH,
  /** Groups of equal size from bottom to top. */
  LASAGNA;

  /** Ordinary layers at the bottom when {@code warmup} of them are wanted. */
  int below(int warmup) {
    return this == SANDWICH ? (warmup + 1) / 2 : warmup;
  }

  /** Ordinary layers at the top when {@code warmup} of them are wanted. */
  int above(int warmup) {
    return warmup - below(warmup);
  }

  /** Ordinary layers where {@code keyValueLayers} keep a cache and nothing else is said. */
  int usualWarmup(int keyValueLayers) {
    return this == LASAGNA ? 0 : keyValueLayers - 1;
  }
}
