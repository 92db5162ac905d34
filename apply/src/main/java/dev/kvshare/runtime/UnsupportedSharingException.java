package dev.kvshare.runtime;

import dev.kvshare.policy.PolicyException;

/** A valid sharing map that the decoder cannot run. */
public final class UnsupportedSharingException extends PolicyException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public UnsupportedSharingException(String message) {
    super(message);
  }
}
