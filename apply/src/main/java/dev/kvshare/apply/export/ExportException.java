package dev.kvshare.apply.export;

/** A model or policy that the other program cannot express. */
public final class ExportException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with a complete message. */
  public ExportException(String message) {
    super(message);
  }
}
