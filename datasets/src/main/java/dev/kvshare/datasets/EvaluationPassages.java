package dev.kvshare.datasets;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * Cuts evaluation text into passages of equal length from its start. Sequences of token ids are
 * read as one running text.
 *
 * @param tokens of a passage, at least 2 since the first one is not scored
 * @param passages how many passages to take at most
 * @param stride tokens from the start of a passage to that of the next; as many as a passage has of
 *     the text where passages do not overlap
 * @param first a token put before each passage as the first of its tokens, null for none
 */
public record EvaluationPassages(int tokens, int passages, int stride, Integer first) {
  public EvaluationPassages {
    if (tokens < 2 || passages < 1) {
      throw new IllegalArgumentException(
          "a passage needs at least 2 tokens and there must be at least 1, found %d and %d"
              .formatted(tokens, passages));
    }
    int ofText = ofText(tokens, first);
    if (stride < 1 || stride > ofText) {
      throw new IllegalArgumentException(
          "a stride of %d leaves tokens out or goes nowhere: it must be from 1 to %d"
              .formatted(stride, ofText));
    }
  }

  private static int ofText(int tokens, Integer first) {
    return first == null ? tokens : tokens - 1;
  }

  /** Whether passages have tokens of the text in common. */
  public boolean overlaps() {
    return stride != ofText(tokens, first);
  }

  /** Passages without overlap and without added tokens. */
  public EvaluationPassages(int tokens, int passages) {
    this(tokens, passages, tokens, null);
  }

  /**
   * Tokens at the start of a passage that are not scored: the first, and in later passages all that
   * the one before has scored.
   */
  public int unscored(int passage) {
    return passage == 0 || !overlaps() ? 1 : tokens - stride;
  }

  /** Returns the passages of {@code corpus}; token ids need no {@code encoder}. */
  public Passages cut(Corpus corpus, Function<String, int[]> encoder) {
    int ofText = ofText(tokens, first);
    int[] ids = Passages.first(corpus, encoder, (long) stride * (passages - 1) + ofText);
    List<int[]> found = new ArrayList<>();
    for (int start = 0; start + ofText <= ids.length; start += stride) {
      int[] passage = new int[tokens];
      System.arraycopy(ids, start, passage, tokens - ofText, ofText);
      if (first != null) {
        passage[0] = first;
      }
      found.add(passage);
    }
    if (found.isEmpty()) {
      throw new DatasetException(
          "The text %s has %d tokens; one passage needs %d. Give a longer text or a smaller --passage-tokens."
              .formatted(corpus.name(), ids.length, ofText));
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
