package dev.kvshare.cli.command;

/** What stops a command although its options are right; the message says what to do. */
public final class CommandException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public CommandException(String message) {
    super(message);
  }
}
