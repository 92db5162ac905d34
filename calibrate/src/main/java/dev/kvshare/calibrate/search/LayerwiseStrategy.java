package dev.kvshare.calibrate.search;

/**
 * Shares one more layer at a time, with the nearest layer below that keeps its own keys and values
 * as its source, and keeps the maps that come nearest to the unshared model when repaired.
 *
 * @param width maps that are kept after each step; 1 is the greedy search
 * @param preferTop whether a layer that does not extend the shared layers at the top counts twice
 *     what it costs: a prompt skips shared layers above the highest that keeps a cache
 */
public record LayerwiseStrategy(int width, boolean preferTop) implements SearchStrategy {
  static final String GREEDY = "greedy";
  static final String BEAM = "beam";
  static final int WIDTH = 3;

  /** Checks the width. */
  public LayerwiseStrategy {
    if (width < 1) {
      throw new IllegalArgumentException("a beam of " + width + " maps");
    }
  }

  @Override
  public String strategy() {
    return width == 1 ? GREEDY : BEAM;
  }
}
