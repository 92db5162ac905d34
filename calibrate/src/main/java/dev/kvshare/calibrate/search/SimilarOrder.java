package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.Comparator;
import java.util.List;

/**
 * The most alike layers first: the intuitive order, KVSharer's counter-check (arXiv 2410.18517,
 * section 5.1). Equal distances are tried by ascending layer, then source.
 */
public record SimilarOrder() implements CandidateOrder {
  static final String NAME = "similar";

  @Override
  public String strategy() {
    return NAME;
  }

  @Override
  public List<CandidatePair> rank(DistanceMatrix distances) {
    return distances.pairs().stream()
        .sorted(Comparator.comparingDouble(CandidatePair::distance))
        .toList();
  }
}
