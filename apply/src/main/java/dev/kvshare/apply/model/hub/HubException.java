package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.CheckpointException;

/** A model cannot be fetched from the hub. */
public final class HubException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  public HubException(String message) {
    super(message);
  }

  public HubException(String message, Throwable cause) {
    super(message, cause);
  }
}
