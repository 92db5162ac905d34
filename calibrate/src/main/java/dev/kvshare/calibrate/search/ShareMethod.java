package dev.kvshare.calibrate.search;

/**
 * Layers share only: those whose scores say that it costs least, the papers' order, and its
 * reverse. Takes the map that comes nearest to the unshared model when repaired.
 *
 * @param preferTop whether a layer that does not extend the shared layers at the top counts twice
 *     what it costs: a prompt skips shared layers above the highest that keeps a cache
 */
public record ShareMethod(boolean preferTop) implements Method {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "share";

  @Override
  public String methodName() {
    return NAME;
  }

  @Override
  public SearchOutcome search(Search search) {
    return search.best(preferTop);
  }
}
