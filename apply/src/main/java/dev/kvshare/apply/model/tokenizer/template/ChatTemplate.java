package dev.kvshare.apply.model.tokenizer.template;

import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.interpret.TemplateError;
import dev.kvshare.apply.model.CheckpointException;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A model's own Jinja chat template, rendered as transformers' {@code apply_chat_template} does.
 */
public final class ChatTemplate {
  private final Object origin;
  private final String source;
  private final Map<String, String> specialTokens;

  /**
   * @param origin the file, for messages
   * @param specialTokens variables of the template such as {@code bos_token}
   */
  public ChatTemplate(Object origin, String source, Map<String, String> specialTokens) {
    this.origin = origin;
    this.source = Objects.requireNonNull(source, "source");
    this.specialTokens = Map.copyOf(specialTokens);
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
   * @throws CheckpointException.Tokenizer when the template refuses the conversation or cannot be
   *     rendered
   */
  public String render(List<ChatMessage> messages, boolean addGenerationPrompt) {
    return render(messages, addGenerationPrompt, LocalDateTime.now(ZoneId.systemDefault()));
  }

  /**
   * The same at a given time.
   *
   * @param now what the template is told when it asks for the date
   */
  String render(List<ChatMessage> messages, boolean addGenerationPrompt, LocalDateTime now) {
    Map<String, Object> variables = new HashMap<>(specialTokens);
    List<Object> turns = new ArrayList<>();
    for (ChatMessage message : messages) {
      Map<String, Object> turn = new LinkedHashMap<>();
      turn.put("role", message.role());
      turn.put("content", message.content());
      turns.add(turn);
    }
    variables.put("messages", turns);
    variables.put("add_generation_prompt", addGenerationPrompt);
    variables.put("tools", null);
    variables.put("documents", null);
    RenderResult result;
    try {
      result = JinjaEnvironment.render(source, variables, now);
    } catch (IllegalArgumentException e) {
      throw notRendered("the chat template", e.getMessage(), e);
    }
    if (!result.getErrors().isEmpty()) {
      throw failure(result.getErrors().get(0));
    }
    return result.getOutput();
  }

  private CheckpointException.Tokenizer failure(TemplateError error) {
    for (Throwable cause = error.getException(); cause != null; cause = cause.getCause()) {
      if (cause instanceof JinjaFunctions.RaisedByTemplate raised) {
        return new CheckpointException.Tokenizer(
            "%s: the chat template refuses the conversation: %s"
                .formatted(origin, raised.getMessage()),
            raised);
      }
    }
    return notRendered(
        "line " + error.getLineno() + " of the chat template",
        error.getMessage(),
        error.getException());
  }

  private CheckpointException.Tokenizer notRendered(String where, String why, Exception cause) {
    return new CheckpointException.Tokenizer(
        "%s: %s cannot be rendered: %s. Write the conversation as plain text in the model's format instead."
            .formatted(origin, where, why),
        cause);
  }

  /**
   * One turn of a conversation.
   *
   * @param role who speaks, as the model's template names it: usually {@code system}, {@code user}
   *     or {@code assistant}
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
}
