package dev.kvshare.apply.generate;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate;

/** Turns prompts into token ids that the model can take, or says why not. */
final class PromptEncoder {
  private final ModelSpec spec;
  private final int maxPositions;
  private final Tokenizer tokenizer;
  private final CheckpointException.Tokenizer failure;

  /**
   * @param maxPositions the most tokens of a prompt
   * @param tokenizer null when the model has none that can be used
   * @param failure why not; null when there is one
   */
  PromptEncoder(
      ModelSpec spec,
      int maxPositions,
      Tokenizer tokenizer,
      CheckpointException.Tokenizer failure) {
    this.spec = spec;
    this.maxPositions = maxPositions;
    this.tokenizer = tokenizer;
    this.failure = failure;
  }

  /** The ids of a prompt, with the special tokens that the model's files ask for. */
  int[] encode(int index, Prompt prompt) {
    int[] ids;
    if (prompt instanceof Prompt.Text text) {
      ids = tokenizer().encode(text.text(), true);
    } else if (prompt instanceof Prompt.Chat chat) {
      ChatTemplate template =
          tokenizer()
              .chatTemplate()
              .orElseThrow(
                  () ->
                      new GenerationException(
                          "Prompt %d is a chat, but the model has no chat template: it was not trained for conversations. Give the prompt as plain text."
                              .formatted(index)));
      ids = tokenizer.encode(template.render(chat.messages(), true), false);
    } else {
      ids = ((Prompt.Ids) prompt).ids().stream().mapToInt(Integer::intValue).toArray();
    }
    check(index, ids);
    return ids;
  }

  private Tokenizer tokenizer() {
    if (tokenizer == null) {
      throw failure;
    }
    return tokenizer;
  }

  private void check(int index, int[] ids) {
    if (ids.length == 0) {
      throw new GenerationException(
          "Prompt %d is empty, and the model's tokenizer adds no token that begins a text. Give at least one token."
              .formatted(index));
    }
    if (ids.length > maxPositions) {
      throw new GenerationException(
          "Prompt %d has %d tokens, but the model was made for at most %d positions. Shorten the prompt."
              .formatted(index, ids.length, maxPositions));
    }
    for (int position = 0; position < ids.length; position++) {
      if (ids[position] < 0 || ids[position] >= spec.vocabularySize()) {
        throw new GenerationException(
            "Prompt %d has the token id %d at position %d, but the model's ids go from 0 to %d."
                .formatted(index, ids[position], position, spec.vocabularySize() - 1));
      }
    }
  }
}
