package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.Comparator;
import java.util.List;

/**
 * The most alike layers first: the intuitive order, KVSharer's counter-check (arXiv 2410.18517,
 * section 5.1). Equal distances are tried by ascending layer, then source.
 */
public record SimilarMethod() implements PairOrder {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "similar";

  @Override
  public String methodName() {
    return NAME;
  }

  @Override
  public List<DistanceMatrix.Pair> rank(DistanceMatrix distances) {
    return distances.pairs().stream()
        .sorted(Comparator.comparingDouble(DistanceMatrix.Pair::distance))
        .toList();
  }
}
