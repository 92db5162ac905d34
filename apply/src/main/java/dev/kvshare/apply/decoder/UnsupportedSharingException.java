package dev.kvshare.apply.decoder;

import dev.kvshare.apply.policy.PolicyException;

/** A valid sharing map that the decoder cannot run. */
public final class UnsupportedSharingException extends PolicyException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public UnsupportedSharingException(String message) {
    super(message);
  }
}
