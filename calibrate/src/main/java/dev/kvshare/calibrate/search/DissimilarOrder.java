package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.Comparator;
import java.util.List;

/**
 * The most different layers first: the counter-intuitive order of KVSharer (arXiv 2410.18517,
 * section 3.1.2). Equal distances are tried by ascending layer, then source.
 */
public record DissimilarOrder() implements CandidateOrder {
  static final String NAME = "dissimilar";

  @Override
  public String strategy() {
    return NAME;
  }

  @Override
  public List<CandidatePair> rank(DistanceMatrix distances) {
    return distances.pairs().stream()
        .sorted(Comparator.comparingDouble(CandidatePair::distance).reversed())
        .toList();
  }
}
