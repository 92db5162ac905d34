package dev.kvshare.apply.policy;

/** A policy that was made for another model. */
public final class PolicyMismatchException extends PolicyException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public PolicyMismatchException(String message) {
    super(message);
  }
}
