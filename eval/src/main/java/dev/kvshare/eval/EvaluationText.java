package dev.kvshare.eval;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.EvaluationWindows;
import dev.kvshare.datasets.TextEncoder;
import dev.kvshare.datasets.TokenWindows;

/**
 * What is measured on.
 *
 * @param corpus the evaluation text
 * @param encoder tokenises it without added tokens; may be null if it holds token ids
 * @param windows how it is cut
 */
public record EvaluationText(Corpus corpus, TextEncoder encoder, EvaluationWindows windows) {
  /**
   * Returns the windows.
   *
   * @throws dev.kvshare.datasets.DatasetException if the text is too short
   */
  public TokenWindows cut() {
    return windows.cut(corpus, encoder);
  }
}
