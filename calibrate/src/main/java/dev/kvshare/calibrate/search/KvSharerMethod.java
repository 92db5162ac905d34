package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.Comparator;
import java.util.List;

/**
 * The most different layers first: the counter-intuitive order of KVSharer (arXiv 2410.18517,
 * section 3.1.2). Equal distances are tried by ascending layer, then source.
 */
public record KvSharerMethod() implements PairOrder {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "kvsharer";

  @Override
  public String methodName() {
    return NAME;
  }

  @Override
  public List<DistanceMatrix.Pair> rank(DistanceMatrix distances) {
    return distances.pairs().stream()
        .sorted(Comparator.comparingDouble(DistanceMatrix.Pair::distance).reversed())
        .toList();
  }
}
