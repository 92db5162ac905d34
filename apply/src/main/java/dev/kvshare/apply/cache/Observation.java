package dev.kvshare.apply.cache;

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

  /** Checks the numbers. */
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
