package dev.kvshare.calibrate.search;

/**
 * Layers keep the first and last tokens of a text only: one more at a time, the one that costs
 * least when repaired ({@link LayerwiseSearch}).
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
    return search.windowed();
  }
}
