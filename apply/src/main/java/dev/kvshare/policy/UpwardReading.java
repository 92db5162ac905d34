package dev.kvshare.policy;

/**
 * How a prompt is processed when a layer reads from a layer above it, whose keys and values do not
 * exist yet (Layer-Condensed KV Cache, arXiv 2405.10637, section 2.2).
 */
public sealed interface UpwardReading {
  /**
   * The whole prompt is run through the layers several times, each pass reading the keys and values
   * of the one before.
   *
   * @param forwardPasses number of passes, at least 1
   */
  record Parallel(int forwardPasses) implements UpwardReading {
    /** Refuses fewer than one pass. */
    public Parallel {
      if (forwardPasses < 1) {
        throw new IllegalArgumentException(
            "forward_passes must be at least 1, found " + forwardPasses);
      }
    }
  }

  /** The prompt is processed token by token. */
  record Sequential() implements UpwardReading {}
}
