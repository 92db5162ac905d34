package dev.kvshare.datasets;

import java.util.List;
import java.util.function.Function;

/**
 * Cuts evaluation text into consecutive passages from its start, without overlap and without added
 * tokens. Sequences of token ids are read as one running text.
 *
 * @param tokens of a passage, at least 2 since the first one is not scored
 * @param passages how many passages to take at most
 */
public record EvaluationPassages(int tokens, int passages) {
  public EvaluationPassages {
    if (tokens < 2 || passages < 1) {
      throw new IllegalArgumentException(
          "a passage needs at least 2 tokens and there must be at least 1, found %d and %d"
              .formatted(tokens, passages));
    }
  }

  /** Returns the passages of {@code corpus}; token ids need no {@code encoder}. */
  public Passages cut(Corpus corpus, Function<String, int[]> encoder) {
    long wanted = (long) tokens * passages;
    int[] ids = Passages.first(corpus, encoder, wanted);
    List<int[]> found = Passages.cut(ids, tokens);
    if (found.isEmpty()) {
      throw new DatasetException(
          "The text %s has %d tokens; one passage needs %d. Give a longer text or a smaller --passage-tokens."
              .formatted(corpus.name(), ids.length, tokens));
    }
    List<String> notes =
        found.size() == passages
            ? List.of()
            : List.of(
                "%s has %d tokens: %d passages of %d instead of %d."
                    .formatted(corpus.name(), ids.length, found.size(), tokens, passages));
    return new Passages(corpus, found, Passages.Counts.allUsed("passages", found), notes);
  }
}
