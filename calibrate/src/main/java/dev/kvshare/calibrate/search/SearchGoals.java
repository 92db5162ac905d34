package dev.kvshare.calibrate.search;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.CalibrationUsageException;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.LayerWindow;
import java.util.OptionalInt;

/**
 * How many layers a search reduces, and in which ways.
 *
 * @param sharing layers that are to read another layer; empty where none may
 * @param windowed layers that are to keep the first and last tokens only, in place of sharing;
 *     empty where none may
 * @param window what these keep, null where there are none
 */
public record SearchGoals(OptionalInt sharing, OptionalInt windowed, LayerWindow window) {
  /**
   * What windowed layers keep is a fraction of a cache for texts of one length only: this one, or
   * the longest that the model takes.
   */
  private static final int TEXT_TOKENS = 2048;

  /** Bytes of an element of the caches that a budget counts. */
  private static final int BYTES_PER_ELEMENT = 2;

  /**
   * The goals of a calibration.
   *
   * @param windowOrNull what windowed layers keep, null where none may be
   * @throws CalibrationUsageException if a model with these layers cannot have that budget
   */
  public static SearchGoals of(KvBudget budget, LayerWindow windowOrNull, ModelSpec spec) {
    int layers = spec.layers();
    long bytes = spec.kvUse(Plan.identity(layers)).bytesPerToken(BYTES_PER_ELEMENT);
    OptionalInt sharing =
        budget instanceof KvBudget.WindowedLayers
            ? OptionalInt.empty()
            : OptionalInt.of(budget.layersToShare(layers, bytes));
    OptionalInt windowed =
        windowOrNull == null
            ? OptionalInt.empty()
            : budget.layersToWindow(layers, bytes, keptFraction(windowOrNull, spec));
    return new SearchGoals(sharing, windowed, windowed.isEmpty() ? null : windowOrNull);
  }

  /** Layers share, and none is windowed. */
  public static SearchGoals share(int layers) {
    return new SearchGoals(OptionalInt.of(layers), OptionalInt.empty(), null);
  }

  /** Tokens of the text of which a fraction is kept where layers are windowed. */
  public static int textTokens(ModelSpec spec) {
    return Math.min(TEXT_TOKENS, spec.maxPositions());
  }

  /** Of the KV cache of a text, where all layers are windowed that can be. */
  private static double keptFraction(LayerWindow window, ModelSpec spec) {
    Plan windowed = Plan.identity(spec.layers());
    for (int layer = 0; layer < spec.layers(); layer++) {
      windowed = windowed.withWindowed(layer, window.tokens(), window.sinks());
    }
    int tokens = textTokens(spec);
    return spec.kvUse(windowed).fraction(tokens);
  }
}
