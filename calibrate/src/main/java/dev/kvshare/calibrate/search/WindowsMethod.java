package dev.kvshare.calibrate.search;

/**
 * Layers keep the first and last tokens of a text only: those whose scores say that it costs least.
 */
public record WindowsMethod() implements Method {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "windows";

  @Override
  public String methodName() {
    return NAME;
  }

  @Override
  public boolean windows() {
    return true;
  }

  @Override
  public boolean shares() {
    return false;
  }

  @Override
  public SearchOutcome search(Search search) {
    return search.best(false);
  }
}
