package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.CalibrationUsageException;
import java.util.List;
import java.util.stream.Stream;

/**
 * How a sharing map is searched: either pairs of layers in some order, each tested as it is
 * (KVSharer), or layer by layer by what the repaired model computes, or the best of several.
 */
public sealed interface SearchStrategy permits CandidateOrder, LayerwiseStrategy, AutoStrategy {

  /** The name on the command line and in the policy. */
  String strategy();

  /** The names that {@link #of} knows, the default first. */
  List<String> STRATEGIES =
      Stream.concat(
              Stream.of(AutoStrategy.NAME, LayerwiseStrategy.GREEDY), CandidateOrder.NAMES.stream())
          .toList();

  /**
   * The strategy of that name.
   *
   * @param seed of the random order; the others do not look at it
   * @param preferTop see {@link LayerwiseStrategy#preferTop}; the orders of pairs do not look at it
   */
  static SearchStrategy of(String strategy, long seed, boolean preferTop) {
    return switch (strategy) {
      case AutoStrategy.NAME -> new AutoStrategy(preferTop);
      case LayerwiseStrategy.GREEDY -> new LayerwiseStrategy(preferTop);
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
