package dev.kvshare.cli.command;

/** A file that belongs to the program is missing. */
final class InstallationException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  InstallationException(String message) {
    super(message);
  }
}
