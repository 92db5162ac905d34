package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.List;

/**
 * A method of the papers' kind: the order in which pairs of layers are tried. Everything else
 * (test, threshold, resolution of chains, size) is the same for all: {@link SharingSearch}.
 */
public sealed interface PairOrder extends Method
    permits KvSharerMethod, SimilarMethod, RandomMethod, LayerOrderMethod {
  /** Every pair that may share, the one to try first at the front; equal input, equal order. */
  List<DistanceMatrix.Pair> rank(DistanceMatrix distances);

  @Override
  default boolean repairs() {
    return false;
  }

  @Override
  default SearchOutcome search(Search search) {
    return search.ordered(this);
  }
}
