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

  /** A file is damaged, incomplete or breaks the rules of its format. */
  public static final class Corrupt extends CheckpointException {
    private static final long serialVersionUID = 1L;

    public Corrupt(String message) {
      super(message);
    }

    public Corrupt(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** The parts of a checkpoint contradict each other: configuration, index and weights. */
  public static final class Mismatch extends CheckpointException {
    private static final long serialVersionUID = 1L;

    public Mismatch(String message) {
      super(message);
    }
  }

  /** The files are sound, but ask for something that kvshare does not compute. */
  public static final class Unsupported extends CheckpointException {
    private static final long serialVersionUID = 1L;

    public Unsupported(String message) {
      super(message);
    }
  }

  /**
   * A tokenizer, its configuration or a chat template that cannot be used. The message says which
   * file or key, what was found, what was expected, and what to do.
   */
  public static final class Tokenizer extends CheckpointException {
    private static final long serialVersionUID = 1L;

    public Tokenizer(String message) {
      super(message);
    }

    public Tokenizer(String message, Throwable cause) {
      super(message, cause);
    }
  }
}
