package dev.kvshare.calibrate.search;

/**
 * Shares one more layer at a time, with the nearest layer below that keeps its own keys and values
 * as its source: the layer under which the repaired map comes nearest to the unshared model.
 *
 * @param preferTop whether a layer that does not extend the shared layers at the top counts twice
 *     what it costs: a prompt skips shared layers above the highest that keeps a cache
 */
public record LayerwiseStrategy(boolean preferTop) implements SearchStrategy {
  static final String GREEDY = "greedy";

  @Override
  public String strategy() {
    return GREEDY;
  }
}
