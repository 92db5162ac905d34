package dev.kvshare.apply.model.tokenizer.template;

import java.util.Objects;

/**
 * One turn of a conversation.
 *
 * @param role who speaks, as the model's template names it: usually {@code system}, {@code user} or
 *     {@code assistant}
 * @param content what was said
 */
public record ChatMessage(String role, String content) {
  public ChatMessage {
    Objects.requireNonNull(role, "role");
    Objects.requireNonNull(content, "content");
  }

  public static ChatMessage system(String content) {
    return new ChatMessage("system", content);
  }

  public static ChatMessage user(String content) {
    return new ChatMessage("user", content);
  }

  public static ChatMessage assistant(String content) {
    return new ChatMessage("assistant", content);
  }
}
