package dev.kvshare.apply.model.storage;

/** A place where a result cannot be written. The message is one paragraph for the user. */
public final class OutputException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message and the failure behind it, or null. */
  public OutputException(String message, Throwable cause) {
    super(message, cause);
  }
}
