package dev.kvshare.cli;

/** Standard output could not be written to its end. */
final class LostResultsException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  LostResultsException(String reason) {
    super(
        "standard output could not be written ("
            + reason
            + "), so results are missing. Free some space and run the command again.");
  }
}
