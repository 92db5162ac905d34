package dev.kvshare.apply;

import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.model.tokenizer.ChatTemplate;
import dev.kvshare.model.tokenizer.Tokenizer;

/** Turns prompts into token ids that the model can take, or says why not. */
final class PromptEncoder {
  private final ModelSpec spec;
  private final Tokenizer tokenizer;

  /**
   * @param tokenizer null when the model has none
   */
  PromptEncoder(ModelSpec spec, Tokenizer tokenizer) {
    this.spec = spec;
    this.tokenizer = tokenizer;
  }

  /** The ids of a prompt, with the special tokens that the model's files ask for. */
  int[] encode(int index, Prompt prompt) {
    int[] ids;
    if (prompt instanceof Prompt.Text text) {
      ids = tokenizer(index).encode(text.text(), true);
    } else if (prompt instanceof Prompt.Chat chat) {
      ChatTemplate template =
          tokenizer(index)
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

  private Tokenizer tokenizer(int index) {
    if (tokenizer == null) {
      throw new GenerationException(
          "Prompt %d is text, but the model has no tokenizer. Put the model's tokenizer.json beside it, or give token ids."
              .formatted(index));
    }
    return tokenizer;
  }

  private void check(int index, int[] ids) {
    if (ids.length == 0) {
      throw new GenerationException(
          "Prompt %d is empty, and the model's tokenizer adds no token that begins a text. Give at least one token."
              .formatted(index));
    }
    if (ids.length > spec.maxPositions()) {
      throw new GenerationException(
          "Prompt %d has %d tokens, but the model was made for at most %d positions. Shorten the prompt."
              .formatted(index, ids.length, spec.maxPositions()));
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
