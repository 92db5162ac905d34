package dev.kvshare.apply.policy;

/**
 * A policy file that cannot be read: not JSON, against the schema, or with sources that break a
 * rule.
 */
public final class PolicyFormatException extends PolicyException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public PolicyFormatException(String message) {
    super(message);
  }

  /**
   * @param message what is wrong, where, what was expected and what to do
   * @param cause where the content was found wrong
   */
  public PolicyFormatException(String message, Throwable cause) {
    super(message, cause);
  }
}
