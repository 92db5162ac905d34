package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.CalibrationException;
import java.util.List;

/** How a plan is searched; each method is one file. */
public sealed interface Method permits AutoMethod, ShareMethod, WindowsMethod, PairOrder {
  /** The names that {@link #of} knows, the default first. */
  List<String> NAMES =
      List.of(
          AutoMethod.NAME,
          ShareMethod.NAME,
          WindowsMethod.NAME,
          KvSharerMethod.NAME,
          SimilarMethod.NAME,
          RandomMethod.NAME,
          LayerOrderMethod.NAME);

  /** The name on the command line and in the policy. */
  String methodName();

  /** Runs the search. */
  SearchOutcome search(Search search);

  /** Whether plans are repaired and judged in the search, so that the result is worth a repair. */
  default boolean repairs() {
    return true;
  }

  /** Whether layers may come to keep the first and last tokens only. */
  default boolean windows() {
    return false;
  }

  /** Whether layers may come to read another layer. */
  default boolean shares() {
    return true;
  }

  /**
   * The method of that name.
   *
   * @param seed of the random order; the others do not look at it
   * @param preferTop whether a layer that does not extend the shared layers at the top counts twice
   *     what it costs; the orders of pairs do not look at it
   */
  static Method of(String name, long seed, boolean preferTop) {
    return switch (name) {
      case AutoMethod.NAME -> new AutoMethod(preferTop);
      case ShareMethod.NAME -> new ShareMethod(preferTop);
      case WindowsMethod.NAME -> new WindowsMethod();
      case KvSharerMethod.NAME -> new KvSharerMethod();
      case SimilarMethod.NAME -> new SimilarMethod();
      case RandomMethod.NAME -> new RandomMethod(seed);
      case LayerOrderMethod.NAME -> new LayerOrderMethod();
      default ->
          throw new CalibrationException.Usage(
              "No method is called \"%s\". Choose one of: %s."
                  .formatted(name, String.join(", ", NAMES)));
    };
  }
}
