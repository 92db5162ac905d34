package dev.kvshare.calibrate.search;

import java.util.List;

/**
 * Runs the papers' order, its reverse and the greedy search, where layers may be windowed the same
 * search for these, and takes the plan that comes nearest to the unshared model when repaired.
 *
 * @param preferTop see {@link LayerwiseStrategy#preferTop}
 */
public record AutoStrategy(boolean preferTop) implements SearchStrategy {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "auto";

  /** The name of the greedy search for windowed layers among those that compete. */
  public static final String WINDOWS = "windows";

  @Override
  public String strategy() {
    return NAME;
  }

  /** The strategies that compete; the first of equals wins. */
  List<CandidateOrder> orders() {
    return List.of(new DissimilarOrder(), new SimilarOrder());
  }

  LayerwiseStrategy layerwise() {
    return new LayerwiseStrategy(preferTop);
  }
}
