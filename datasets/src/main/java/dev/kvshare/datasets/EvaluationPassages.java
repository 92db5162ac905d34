package dev.kvshare.datasets;

import java.util.List;

/**
 * Cuts evaluation text into consecutive windows from its start, without overlap and without added
 * tokens. Sequences of token ids are read as one running text.
 *
 * @param window tokens of a window, at least 2 since the first one is not scored
 * @param windows how many windows to take at most
 */
public record EvaluationPassages(int window, int windows) {
  /** Refuses windows without a scored token. */
  public EvaluationPassages {
    if (window < 2 || windows < 1) {
      throw new IllegalArgumentException(
          "a window needs at least 2 tokens and there must be at least 1, found %d and %d"
              .formatted(window, windows));
    }
  }

  /**
   * Returns the windows of {@code corpus}.
   *
   * @param encoder tokenises text; not used, and may be null, if the corpus holds token ids
   * @throws DatasetException if the text has fewer tokens than one window
   */
  public Passages cut(Corpus corpus, TextEncoder encoder) {
    long wanted = (long) window * windows;
    int[] ids = RunningTokens.first(corpus, encoder, wanted);
    List<int[]> found = RunningTokens.windows(ids, window);
    if (found.isEmpty()) {
      throw new DatasetException(
          "The text %s has %d tokens; one window needs %d. Give a longer text or a smaller --window."
              .formatted(corpus.name(), ids.length, window));
    }
    List<String> notes =
        found.size() == windows
            ? List.of()
            : List.of(
                "%s has %d tokens: %d windows of %d instead of %d."
                    .formatted(corpus.name(), ids.length, found.size(), window, windows));
    return new Passages(
        corpus.name(),
        corpus.sha256(),
        found,
        new Passages.Counts("windows", found.size(), found.size(), 0),
        notes);
  }
}
