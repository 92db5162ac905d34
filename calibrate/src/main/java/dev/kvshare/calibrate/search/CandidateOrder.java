package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.List;

/**
 * A strategy of the papers' kind: the order in which pairs of layers are tried. Everything else
 * (test, threshold, resolution of chains, budget) is the same for all.
 */
public sealed interface CandidateOrder extends SearchStrategy
    permits DissimilarOrder, SimilarOrder, RandomOrder, LayerOrder {

  /** The names of all orders. */
  List<String> NAMES =
      List.of(DissimilarOrder.NAME, SimilarOrder.NAME, RandomOrder.NAME, LayerOrder.NAME);

  /** Every pair that may share, the one to try first at the front; equal input, equal order. */
  List<CandidatePair> rank(DistanceMatrix distances);
}
