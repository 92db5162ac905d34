package dev.kvshare.calibrate;

import java.util.List;

/**
 * Runs the papers' order, its reverse and the greedy search, and takes the map that comes nearest
 * to the unshared model when repaired.
 *
 * @param preferTop see {@link LayerwiseStrategy#preferTop}
 */
public record AutoStrategy(boolean preferTop) implements SearchStrategy {
  static final String NAME = "auto";

  @Override
  public String strategy() {
    return NAME;
  }

  /** The strategies that compete; the first of equals wins. */
  List<CandidateOrder> orders() {
    return List.of(new DissimilarOrder(), new SimilarOrder());
  }

  LayerwiseStrategy layerwise() {
    return new LayerwiseStrategy(1, preferTop);
  }
}
