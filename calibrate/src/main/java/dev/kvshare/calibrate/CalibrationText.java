package dev.kvshare.calibrate;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.DatasetException;
import dev.kvshare.datasets.EvaluationPassages;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The passages on which plans are repaired and judged: of 256 tokens; of 512 to 2,048, four times
 * the window, where layers may be windowed, as what these lose is seen behind their windows only;
 * shorter ones where the text has too few. Each text is turned into tokens once.
 */
public final class CalibrationText {
  /** Tokens at the start of a text of which all passages are taken. */
  private static final int MOST_TOKENS = 100_000;

  private static final int PASSAGE_TOKENS = 256;
  private static final int LONG_PASSAGE_TOKENS = 512;
  private static final int LONGEST_PASSAGE_TOKENS = 2048;
  private static final int WINDOWS_IN_PASSAGE = 4;
  private static final int SHORTEST_PASSAGE_TOKENS = 32;
  private static final int ENOUGH_PASSAGES = 16;

  /** One passage of so many judges a repair. */
  static final int VALIDATION_SHARE = 8;

  private final LoadedModel model;
  private final Map<Request, List<int[]>> read = new HashMap<>();

  private record Request(Corpus corpus, int longest) {}

  /** Passages for one model. */
  public CalibrationText(LoadedModel model) {
    this.model = model;
  }

  /**
   * The passages of a text, of its first 100,000 tokens; none where it is too short for one.
   *
   * @param window the last tokens that windowed layers keep; 0 where none is to be windowed
   * @return token ids, one array a passage
   */
  public List<int[]> passages(Corpus corpus, int window) {
    return ofLength(corpus, passageTokens(model.decoder().spec(), window));
  }

  private List<int[]> ofLength(Corpus corpus, int longest) {
    return read.computeIfAbsent(new Request(corpus, longest), this::cut);
  }

  /**
   * The passages of a repair; null where the text is too short for one.
   *
   * @param tokens most tokens of all of them; they are spread evenly over the text
   * @param window the last tokens that windowed layers keep; 0 where none is windowed
   */
  public RepairPassages repairPassages(Corpus corpus, int tokens, int window) {
    List<int[]> passages = spread(corpus, tokens, window);
    return passages.size() < VALIDATION_SHARE
        ? null
        : RepairPassages.split(passages, VALIDATION_SHARE);
  }

  /** Passages of so many tokens, shorter ones of few, spread evenly over those of the text. */
  List<int[]> spread(Corpus corpus, int tokens, int window) {
    int longest = passageTokens(model.decoder().spec(), window);
    while (tokens / longest < ENOUGH_PASSAGES && longest / 2 >= SHORTEST_PASSAGE_TOKENS) {
      longest /= 2;
    }
    List<int[]> all = ofLength(corpus, longest);
    return all.isEmpty()
        ? all
        : RepairPassages.spread(all, Math.max(1, tokens / all.get(0).length));
  }

  /** What a text must have for a repair, in words. */
  public static String shortest() {
    return "%d passages of %d tokens".formatted(VALIDATION_SHARE, SHORTEST_PASSAGE_TOKENS);
  }

  /** Tokens of a passage where the text is long enough. */
  static int passageTokens(ModelSpec spec, int window) {
    int wanted = Math.max(LONG_PASSAGE_TOKENS, WINDOWS_IN_PASSAGE * window);
    int tokens = window == 0 ? PASSAGE_TOKENS : Math.min(wanted, LONGEST_PASSAGE_TOKENS);
    return Math.min(tokens, spec.maxPositions());
  }

  private List<int[]> cut(Request request) {
    List<int[]> found = List.of();
    for (int length = request.longest(); length >= SHORTEST_PASSAGE_TOKENS; length /= 2) {
      EvaluationPassages cut = new EvaluationPassages(length, MOST_TOKENS / length);
      try {
        found = cut.cut(request.corpus(), model::encode).passages();
      } catch (DatasetException e) {
        continue;
      }
      if (found.size() >= ENOUGH_PASSAGES) {
        return found;
      }
    }
    return found;
  }
}
