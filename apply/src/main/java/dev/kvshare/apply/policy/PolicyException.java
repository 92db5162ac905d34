package dev.kvshare.apply.policy;

/** A policy that cannot be read, written or applied. The message is one paragraph for the user. */
public class PolicyException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public PolicyException(String message) {
    super(message);
  }

  /** Creates the exception with its whole message and the failure behind it. */
  public PolicyException(String message, Throwable cause) {
    super(message, cause);
  }
}
