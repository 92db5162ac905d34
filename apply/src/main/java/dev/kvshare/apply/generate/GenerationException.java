package dev.kvshare.apply.generate;

/**
 * A generation that cannot be done: the message says what of the request does not fit the model.
 */
public class GenerationException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public GenerationException(String message) {
    super(message);
  }
}
