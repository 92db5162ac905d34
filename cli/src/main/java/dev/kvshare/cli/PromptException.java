package dev.kvshare.cli;

/** Prompts that cannot be read. */
final class PromptException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  PromptException(String message) {
    super(message);
  }
}
