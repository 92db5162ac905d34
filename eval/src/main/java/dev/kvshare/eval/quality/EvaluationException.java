package dev.kvshare.eval.quality;

/** A measurement that cannot be made. The message is one paragraph for the user. */
public final class EvaluationException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public EvaluationException(String message) {
    super(message);
  }
}
