package dev.kvshare.calibrate.search;

/**
 * What {@link ShareMethod} and {@link WindowsMethod} try, and a plan with layers of both kinds: the
 * plan that comes nearest to the unshared model when repaired.
 *
 * @param preferTop see {@link ShareMethod}
 */
public record AutoMethod(boolean preferTop) implements Method {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "auto";

  @Override
  public String methodName() {
    return NAME;
  }

  @Override
  public boolean windows() {
    return true;
  }

  @Override
  public SearchOutcome search(Search search) {
    return search.best(preferTop);
  }
}
