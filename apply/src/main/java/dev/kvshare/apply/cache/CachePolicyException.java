package dev.kvshare.apply.cache;

import dev.kvshare.apply.policy.PolicyException;

/** A cache policy that does not go with the model or with the sharing map. */
public final class CachePolicyException extends PolicyException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public CachePolicyException(String message) {
    super(message);
  }
}
