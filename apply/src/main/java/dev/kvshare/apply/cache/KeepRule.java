package dev.kvshare.apply.cache;

import java.util.Objects;

/**
 * What one layer keeps, of each sequence and of each key/value head. Slots are given first to sinks
 * and recent tokens, then by importance.
 *
 * @param slots tokens that are kept at most; {@link #NO_BOUND} for all
 * @param sinks so many first tokens of a sequence always stay
 * @param recent so many last tokens always stay
 * @param observation where importance comes from
 * @param time when tokens leave
 * @param cachePositions whether a token's position is its place among the kept ones (StreamingLLM)
 *     instead of that in the text
 */
public record KeepRule(
    int slots,
    int sinks,
    int recent,
    Observation observation,
    EvictionTime time,
    boolean cachePositions) {
  /** Slots of a layer that keeps everything. */
  public static final int NO_BOUND = Integer.MAX_VALUE;

  /** Everything stays. */
  public static final KeepRule ALL =
      new KeepRule(NO_BOUND, 0, 0, Observation.NONE, EvictionTime.NEVER, false);

  /** Checks that what always stays has room. */
  public KeepRule {
    Objects.requireNonNull(observation, "observation");
    Objects.requireNonNull(time, "time");
    if (slots < 1 || sinks < 0 || recent < 0 || (long) sinks + recent > slots) {
      throw new IllegalArgumentException(
          "%d sinks and %d recent tokens do not fit a cache budget of %d tokens. Give a larger budget or fewer of them."
              .formatted(sinks, recent, slots));
    }
  }

  /**
   * The first and the last tokens only: what is left to do for layers whose attention has a window
   * that the budget covers.
   *
   * @param sinks first tokens that every query sees
   * @param window last tokens that a query sees, itself included
   * @param cachePositions see above
   */
  public static KeepRule window(int sinks, int window, boolean cachePositions) {
    return new KeepRule(
        Math.addExact(sinks, window),
        sinks,
        window,
        Observation.NONE,
        EvictionTime.ALWAYS,
        cachePositions);
  }

  /** Whether nothing but first and last tokens stay, so that a new one takes the oldest's slot. */
  public boolean keepsEnds() {
    return recent > 0 && sinks + recent == slots && !observation.isActive();
  }

  /** Whether tokens leave while others are generated. */
  public boolean boundsDecoding() {
    return time == EvictionTime.WHILE_DECODING || time == EvictionTime.ALWAYS;
  }
}
