package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.Comparator;
import java.util.List;

/**
 * From the top layer down, each reading the layer just below it; pairs further apart follow by
 * ascending gap. The keys and values play no part: a baseline.
 *
 * <p>As chains are resolved, k accepted neighbours make the top k layers read the layer below them
 * all. Such a map needs only the last position of a prompt in these layers, as in YOCO (arXiv
 * 2405.05254), so it is also the map with the fastest prefill.
 */
public record LayerOrderMethod() implements PairOrder {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "layer-order";

  @Override
  public String methodName() {
    return NAME;
  }

  @Override
  public List<DistanceMatrix.Pair> rank(DistanceMatrix distances) {
    return distances.pairs().stream()
        .sorted(
            Comparator.<DistanceMatrix.Pair>comparingInt(pair -> pair.layer() - pair.source())
                .thenComparing(Comparator.comparingInt(DistanceMatrix.Pair::layer).reversed()))
        .toList();
  }
}
