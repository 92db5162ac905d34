package dev.kvshare.apply.generate;

import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Objects;

/** What a model continues: a text, a conversation or token ids. */
public sealed interface Prompt {

  /** A text, encoded with the special tokens that the model's files ask for. */
  record Text(String text) implements Prompt {
    public Text {
      Objects.requireNonNull(text, "text");
    }
  }

  /** A conversation, rendered by the model's chat template up to the assistant's next turn. */
  record Chat(List<ChatMessage> messages) implements Prompt {
    public Chat {
      messages = List.copyOf(messages);
    }
  }

  /** Token ids, used as they are; needs no tokenizer. */
  record Ids(List<Integer> ids) implements Prompt {
    public Ids {
      ids = List.copyOf(ids);
    }
  }

  /** What a person sees of it: the text, or what was said last; empty for token ids. */
  default String title() {
    if (this instanceof Text text) {
      return text.text();
    }
    return this instanceof Chat chat
        ? chat.messages().get(chat.messages().size() - 1).content()
        : "";
  }

  /** A conversation of one message of the user, behind a system message unless that is null. */
  static Chat ofUser(String systemOrNull, String text) {
    ChatMessage user = ChatMessage.user(text);
    return new Chat(
        systemOrNull == null ? List.of(user) : List.of(ChatMessage.system(systemOrNull), user));
  }

  /**
   * Reads the texts of prompts, one a line; empty lines are passed over.
   *
   * @param bytes UTF-8
   * @param origin names them in errors
   * @throws GenerationRequest.GenerationException if they hold no text, or are not UTF-8
   */
  static List<String> lines(byte[] bytes, String origin) {
    try {
      CharBuffer text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
      List<String> prompts = text.toString().lines().filter(line -> !line.isBlank()).toList();
      if (prompts.isEmpty()) {
        throw new GenerationRequest.GenerationException(
            origin + " holds no prompt: every line is empty. Write one prompt a line.");
      }
      return prompts;
    } catch (CharacterCodingException e) {
      throw new GenerationRequest.GenerationException(
          origin + " is not UTF-8 text. Save it as UTF-8, one prompt a line.");
    }
  }
}
