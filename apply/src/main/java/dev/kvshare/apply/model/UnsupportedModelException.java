package dev.kvshare.apply.model;

/** The files are sound, but ask for something that kvshare does not compute. */
public final class UnsupportedModelException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  public UnsupportedModelException(String message) {
    super(message);
  }
}
