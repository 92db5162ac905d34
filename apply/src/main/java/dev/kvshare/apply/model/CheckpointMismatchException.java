package dev.kvshare.apply.model;

/** The parts of a checkpoint contradict each other: configuration, index and weights. */
public final class CheckpointMismatchException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  public CheckpointMismatchException(String message) {
    super(message);
  }
}
