package dev.kvshare.apply.generate;

import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
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
}
