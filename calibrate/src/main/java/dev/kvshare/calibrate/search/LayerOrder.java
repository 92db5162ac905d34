package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.CandidatePair;
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
public record LayerOrder() implements CandidateOrder {
  static final String NAME = "layer-order";

  @Override
  public String strategy() {
    return NAME;
  }

  @Override
  public List<CandidatePair> rank(DistanceMatrix distances) {
    return distances.pairs().stream()
        .sorted(
            Comparator.<CandidatePair>comparingInt(pair -> pair.layer() - pair.source())
                .thenComparing(Comparator.comparingInt(CandidatePair::layer).reversed()))
        .toList();
  }
}
