package dev.kvshare.cli.command;

/** Prompts that cannot be read. */
public final class PromptException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public PromptException(String message) {
    super(message);
  }
}
