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
    /** First tokens that are kept where nothing is said. */
    public static final int SINKS = 4;

    /** The shortest where nothing is said; enough in texts of up to 2,048 tokens. */
    public static final Window DEFAULT = new Window(SINKS, 64);

    private static final int LONGEST = 512;
    private static final int CONTEXT_PART = 32;

    /**
     * The window for texts of so many tokens: a thirty-second of them, a power of two. That costs
     * few more bytes than the shortest and loses a fraction of what that loses (docs/quality.md).
     *
     * @param first tokens that are kept
     */
    public static Window ofContext(int first, int context) {
      int part = Integer.highestOneBit(context) / CONTEXT_PART;
      return new Window(first, Math.max(DEFAULT.last(), Math.min(part, LONGEST)));
    }

    /** Checks the numbers. */
    public Window {
      if (last < 1 || first < 0) {
        throw new CalibrationException.Usage(
            "A windowed layer keeps at least 1 of the last tokens and 0 or more of the first, not %d and %d."
                .formatted(last, first));
      }
    }

    /** The same, or a shorter one of which passages of so many tokens show what it loses. */
    public Window shownBy(int passageTokens) {
      Window shorter = this;
      while (shorter.last > DEFAULT.last && shorter.comparableTokens() > passageTokens) {
        shorter = new Window(first, shorter.last / 2);
      }
      return shorter;
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
