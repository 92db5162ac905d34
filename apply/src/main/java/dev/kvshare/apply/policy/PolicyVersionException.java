package dev.kvshare.apply.policy;

/** A policy file of a schema version that this release does not know. */
public final class PolicyVersionException extends PolicyException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public PolicyVersionException(String message) {
    super(message);
  }
}
