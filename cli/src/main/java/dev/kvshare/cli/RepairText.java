package dev.kvshare.cli;

import dev.kvshare.calibrate.LayerWindow;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.DatasetException;
import dev.kvshare.datasets.EvaluationWindows;
import dev.kvshare.policy.SharingPlan;
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

  private final OpenModel model;
  private final Map<Request, List<int[]>> read = new HashMap<>();

  private record Request(Corpus corpus, int tokens, int longest) {}

  /** Windows for one model. */
  RepairText(OpenModel model) {
    this.model = model;
  }

  OpenModel model() {
    return model;
  }

  /**
   * What a plan is fitted to and judged on: windows of 256 tokens, of 512 where it has windowed
   * layers, shorter ones where the text has too few of these; none where it is too short for one.
   *
   * @param tokens most tokens read
   */
  List<int[]> windows(Corpus corpus, int tokens, SharingPlan plan) {
    return windows(corpus, tokens, plan.windowedLayers().isEmpty());
  }

  /**
   * The same for a search.
   *
   * @param windowOrNull what windowed layers keep, null where the search has none
   */
  List<int[]> windows(Corpus corpus, int tokens, LayerWindow windowOrNull) {
    return windows(corpus, tokens, windowOrNull == null);
  }

  /** What a layer loses that is windowed is seen behind its window only. */
  private List<int[]> windows(Corpus corpus, int tokens, boolean sharingAlone) {
    return windows(corpus, tokens, sharingAlone ? WINDOW_TOKENS : LONG_WINDOW_TOKENS);
  }

  private List<int[]> windows(Corpus corpus, int tokens, int longest) {
    return read.computeIfAbsent(new Request(corpus, tokens, longest), this::cut);
  }

  private List<int[]> cut(Request request) {
    Corpus corpus = request.corpus();
    int longest = Math.min(request.longest(), model.decoder().spec().maxPositions());
    List<int[]> found = List.of();
    for (int length = longest; length >= SHORTEST_WINDOW_TOKENS; length /= 2) {
      EvaluationWindows cut = new EvaluationWindows(length, Math.max(1, request.tokens() / length));
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
