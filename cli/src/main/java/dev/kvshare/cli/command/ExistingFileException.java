package dev.kvshare.cli.command;

/** A file would be replaced that the user may want to keep. */
final class ExistingFileException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  ExistingFileException(String message) {
    super(message);
  }
}
