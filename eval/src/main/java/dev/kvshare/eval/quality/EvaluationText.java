package dev.kvshare.eval.quality;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.datasets.Passages;
import java.util.function.Function;

/**
 * What is measured on.
 *
 * @param corpus the evaluation text
 * @param encoder tokenises it without added tokens; may be null if it holds token ids
 * @param windows how it is cut
 */
public record EvaluationText(
    Corpus corpus, Function<String, int[]> encoder, EvaluationPassages windows) {
  /**
   * Returns the windows.
   *
   * @throws dev.kvshare.datasets.DatasetException if the text is too short
   */
  public Passages cut() {
    return windows.cut(corpus, encoder);
  }
}
