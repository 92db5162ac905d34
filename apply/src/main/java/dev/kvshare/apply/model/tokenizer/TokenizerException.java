package dev.kvshare.apply.model.tokenizer;

/**
 * A tokenizer, its configuration or a chat template that cannot be used. The message says which
 * file or key, what was found, what was expected, and what to do.
 */
public class TokenizerException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public TokenizerException(String message) {
    super(message);
  }

  public TokenizerException(String message, Throwable cause) {
    super(message, cause);
  }
}
