package dev.kvshare.apply.generate;

import java.util.List;
import java.util.Objects;

/**
 * The continuation of one prompt.
 *
 * @param promptIds the prompt as token ids, with any special tokens that were added
 * @param ids the new token ids, an end token included
 * @param text the new text, without special tokens and cut before a stop string; empty when the
 *     model has no tokenizer
 * @param finishReason why it ended
 */
public record Completion(
    List<Integer> promptIds, List<Integer> ids, String text, FinishReason finishReason) {
  public Completion {
    promptIds = List.copyOf(promptIds);
    ids = List.copyOf(ids);
    Objects.requireNonNull(text, "text");
    Objects.requireNonNull(finishReason, "finishReason");
  }
}
