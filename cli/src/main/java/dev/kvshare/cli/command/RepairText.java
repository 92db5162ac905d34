package dev.kvshare.cli.command;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.DatasetException;
import dev.kvshare.datasets.EvaluationPassages;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The windows on which maps are repaired and judged; each text is turned into tokens once. */
final class RepairText {
  /** One window of so many judges the fits. */
  static final int VALIDATION_SHARE = 8;

  static final int SHORTEST_WINDOW_TOKENS = 32;
  private static final int WINDOW_TOKENS = 256;

  /** Of windows for plans in which layers keep the first and last tokens only. */
  private static final int LONG_WINDOW_TOKENS = 512;

  private static final int ENOUGH_WINDOWS = 16;

  private final LoadedModel model;
  private final Map<Request, List<int[]>> read = new HashMap<>();

  private record Request(Corpus corpus, int tokens, int longest) {}

  /** Windows for one model. */
  RepairText(LoadedModel model) {
    this.model = model;
  }

  LoadedModel model() {
    return model;
  }

  /**
   * What plans are fitted to and judged on: windows of 256 tokens, of 512 where layers are
   * windowed, as what these lose is seen behind their windows only; shorter ones where the text has
   * too few; none where it is too short for one.
   *
   * @param tokens most tokens read
   * @param windowed whether plans have windowed layers, or a search may come to some
   */
  List<int[]> windows(Corpus corpus, int tokens, boolean windowed) {
    int longest = passageTokens(model.decoder().spec(), windowed);
    return read.computeIfAbsent(new Request(corpus, tokens, longest), this::cut);
  }

  /** Tokens of a passage where the text is long enough. */
  static int passageTokens(ModelSpec spec, boolean windowed) {
    return Math.min(windowed ? LONG_WINDOW_TOKENS : WINDOW_TOKENS, spec.maxPositions());
  }

  private List<int[]> cut(Request request) {
    Corpus corpus = request.corpus();
    List<int[]> found = List.of();
    for (int length = request.longest(); length >= SHORTEST_WINDOW_TOKENS; length /= 2) {
      EvaluationPassages cut =
          new EvaluationPassages(length, Math.max(1, request.tokens() / length));
      try {
        found = cut.cut(corpus, model::encode).passages();
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
