package dev.kvshare.cli.print;

/** Standard output could not be written to its end. */
public final class LostResultsException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public LostResultsException(String reason) {
    super(
        "standard output could not be written ("
            + reason
            + "), so results are missing. Free some space and run the command again.");
  }
}
