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

  /** When tokens leave the cache. */
  public enum EvictionTime {
    NEVER,
    /** Once, when the prompt has been read; what is generated is kept. */
    AFTER_PROMPT,
    /** When the prompt has been read, and at each later token. */
    WHILE_DECODING,
    /** Between the chunks of a prompt as well: no prompt is too long. */
    ALWAYS
  }

  /**
   * How the importance of a token is seen: by the attention that it receives, summed over the query
   * heads of its key/value head.
   *
   * @param lastQueries only the last so many queries of the prompt count; {@link #EVERY_QUERY} for
   *     all, 0 for none: then younger tokens are the more important ones
   * @param averaged whether the sum is divided by the number of queries that could see the token
   * @param pooling width of the mean over neighbouring tokens, odd; 1 for none
   */
  public record Observation(int lastQueries, boolean averaged, int pooling) {
    /** All queries count, also those after the prompt. */
    public static final int EVERY_QUERY = Integer.MAX_VALUE;

    /** Attention plays no part. */
    public static final Observation NONE = new Observation(0, false, 1);

    public Observation {
      if (lastQueries < 0 || pooling < 1 || pooling % 2 == 0) {
        throw new IllegalArgumentException(
            "attention is observed over at least 0 queries and pooled over an odd number of tokens, found %d and %d."
                .formatted(lastQueries, pooling));
      }
    }

    /** Whether attention is observed at all. */
    public boolean isActive() {
      return lastQueries > 0;
    }
  }
}
