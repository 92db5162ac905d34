package dev.kvshare.datasets;

/** Text that cannot be read or does not suffice. The message is one paragraph for the user. */
public final class DatasetException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public DatasetException(String message) {
    super(message);
  }

  public DatasetException(String message, Throwable cause) {
    super(message, cause);
  }
}
