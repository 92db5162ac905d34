package dev.kvshare.apply.model;

/**
 * A model's files cannot be used. The message is a full paragraph: what failed, in which file and
 * where in it, what was found and what was expected, and what to do about it.
 */
public class CheckpointException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public CheckpointException(String message) {
    super(message);
  }

  public CheckpointException(String message, Throwable cause) {
    super(message, cause);
  }
}
