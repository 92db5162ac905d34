package dev.kvshare.cli;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.DatasetException;
import dev.kvshare.datasets.EvaluationWindows;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The windows on which maps are repaired and judged; each text is turned into tokens once. */
final class RepairText {
  /** One window of so many judges the fits. */
  static final int VALIDATION_SHARE = 8;

  static final int SHORTEST_WINDOW_TOKENS = 32;
  private static final int WINDOW_TOKENS = 256;
  private static final int ENOUGH_WINDOWS = 16;

  private final OpenModel model;
  private final Map<Request, List<int[]>> read = new HashMap<>();

  private record Request(Corpus corpus, int tokens) {}

  /** Windows for one model. */
  RepairText(OpenModel model) {
    this.model = model;
  }

  OpenModel model() {
    return model;
  }

  /**
   * Windows of 256 tokens, shorter ones where the text has too few of these; none where it is too
   * short for one.
   *
   * @param tokens most tokens read
   */
  List<int[]> windows(Corpus corpus, int tokens) {
    return read.computeIfAbsent(new Request(corpus, tokens), request -> cut(corpus, tokens));
  }

  private List<int[]> cut(Corpus corpus, int tokens) {
    int longest = Math.min(WINDOW_TOKENS, model.decoder().spec().maxPositions());
    List<int[]> found = List.of();
    for (int length = longest; length >= SHORTEST_WINDOW_TOKENS; length /= 2) {
      EvaluationWindows cut = new EvaluationWindows(length, Math.max(1, tokens / length));
      try {
        found = model.withEncoder(corpus, encoder -> cut.cut(corpus, encoder)).windows();
      } catch (DatasetException e) {
        continue;
      }
      if (found.size() >= ENOUGH_WINDOWS) {
        return found;
      }
    }
    return found;
  }
}
