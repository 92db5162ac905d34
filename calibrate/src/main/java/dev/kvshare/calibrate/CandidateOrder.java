package dev.kvshare.calibrate;

import java.util.List;

/**
 * A search strategy: the order in which pairs of layers are tried. Everything else (test,
 * threshold, resolution of chains, budget) is the same for all.
 */
public sealed interface CandidateOrder
    permits DissimilarOrder, SimilarOrder, RandomOrder, LayerOrder {

  /** The name on the command line and in the policy. */
  String strategy();

  /** Every pair that may share, the one to try first at the front; equal input, equal order. */
  List<CandidatePair> rank(DistanceMatrix distances);

  /** The names that {@link #of} knows, the default first. */
  List<String> STRATEGIES =
      List.of(DissimilarOrder.NAME, SimilarOrder.NAME, RandomOrder.NAME, LayerOrder.NAME);

  /**
   * The strategy of that name.
   *
   * @param seed of the random order; the others do not look at it
   */
  static CandidateOrder of(String strategy, long seed) {
    return switch (strategy) {
      case DissimilarOrder.NAME -> new DissimilarOrder();
      case SimilarOrder.NAME -> new SimilarOrder();
      case RandomOrder.NAME -> new RandomOrder(seed);
      case LayerOrder.NAME -> new LayerOrder();
      default ->
          throw new CalibrationUsageException(
              "No search strategy is called \""
                  + strategy
                  + "\". Choose one of: "
                  + String.join(", ", STRATEGIES)
                  + ".");
    };
  }
}
