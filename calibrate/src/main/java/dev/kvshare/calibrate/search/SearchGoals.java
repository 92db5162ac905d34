package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.capture.CalibrationException;
import java.util.OptionalInt;

/**
 * How many layers a search reduces, and in which ways.
 *
 * @param sharing layers that are to read another layer; empty where none may
 * @param windowed layers that are to keep the first and last tokens only, in place of sharing;
 *     empty where none may
 * @param window what these keep, null where there are none
 */
public record SearchGoals(OptionalInt sharing, OptionalInt windowed, Window window) {

  private static final double ROUNDING = 1e-9;

  /**
   * What a windowed layer keeps of a text.
   *
   * @param first the first tokens (attention sinks, arXiv 2309.17453)
   * @param last the last tokens, the current one included
   */
  public record Window(int first, int last) {
    /** Enough on the models that were measured (docs/quality.md). */
    public static final Window DEFAULT = new Window(4, 64);

    /** Checks the numbers. */
    public Window {
      if (last < 1 || first < 0) {
        throw new CalibrationException.Usage(
            "A windowed layer keeps at least 1 of the last tokens and 0 or more of the first, not %d and %d."
                .formatted(last, first));
      }
    }

    /** All tokens that are kept. */
    public int tokens() {
      return first + last;
    }

    /**
     * Tokens of a passage that compares what windows lose with what sharing loses: twice what is
     * kept. In shorter ones windows look better than they are.
     */
    public int comparableTokens() {
      return 2 * tokens();
    }
  }

  /** How much of what is to be saved one more layer with this action saves. */
  double part(Plan.LayerAction action) {
    OptionalInt layers = action instanceof Plan.LayerAction.Window ? windowed : sharing;
    return layers.isEmpty() ? 0 : 1.0 / layers.getAsInt();
  }

  /** Whether a plan keeps no more than is wanted, with layers of either kind. */
  boolean isReached(Plan plan) {
    double parts =
        plan.map().sharedLayers() * part(new Plan.LayerAction.Share(0))
            + (plan.windows() == null
                ? 0
                : plan.windowedLayers().size() * part(plan.action(plan.windowedLayers().get(0))));
    return parts > 1 - ROUNDING || sharing.orElse(1) == 0 || windowed.orElse(1) == 0;
  }

  /** Layers share, and none is windowed. */
  public static SearchGoals share(int layers) {
    return new SearchGoals(OptionalInt.of(layers), OptionalInt.empty(), null);
  }
}
