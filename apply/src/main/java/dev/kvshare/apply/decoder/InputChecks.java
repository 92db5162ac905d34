package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import dev.kvshare.apply.family.spec.ModelSpec;

/** What tokens must be to run through a model: native code would not say what is wrong. */
final class InputChecks {
  private final ModelSpec spec;

  InputChecks(ModelSpec spec) {
    this.spec = spec;
  }

  /** Prompts that fit an empty cache, of tokens that the model knows. */
  void prompts(PromptBatch prompts, DecodingCache cache, int chunkTokens) {
    if (cache.length() != 0 || cache.batch() != prompts.size() || chunkTokens < 1) {
      throw new IllegalArgumentException(
          "prefill of %d prompts in chunks of %d needs an empty cache of that batch, but has one of batch %d with %d positions."
              .formatted(prompts.size(), chunkTokens, cache.batch(), cache.length()));
    }
    vocabulary(prompts);
  }

  private void vocabulary(PromptBatch prompts) {
    for (int row = 0; row < prompts.size(); row++) {
      int[] tokens = prompts.rows().get(row);
      for (int position = 0; position < tokens.length; position++) {
        if (tokens[position] < 0 || tokens[position] >= spec.vocabularySize()) {
          throw new IllegalArgumentException(
              "prompt %d has token id %d at position %d; ids of this %s model are 0 to %d. Use its own tokenizer."
                  .formatted(
                      row,
                      tokens[position],
                      position,
                      spec.modelType(),
                      spec.vocabularySize() - 1));
        }
      }
    }
  }

  /** As many rows as the cache has. */
  void batch(NDArray rows, DecodingCache cache) {
    if (rows.getShape().get(0) != cache.batch()) {
      throw new IllegalArgumentException(
          "%d rows do not fit a cache of batch %d."
              .formatted(rows.getShape().get(0), cache.batch()));
    }
  }

  /** Positions below {@code end}, of which learned ones are a table with an end. */
  void positions(int end) {
    if (spec.learnedPositions() > 0 && end > spec.learnedPositions()) {
      throw new IllegalArgumentException(
          "position %d is beyond the %d learned positions of this %s model. Shorten the text."
              .formatted(end, spec.learnedPositions(), spec.modelType()));
    }
  }
}
