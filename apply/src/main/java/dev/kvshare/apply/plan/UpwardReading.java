package dev.kvshare.apply.plan;

/**
 * How a prompt is processed when a layer reads from a layer above it, whose keys and values do not
 * exist yet (Layer-Condensed KV Cache, arXiv 2405.10637, section 2.2). Either way a token sees the
 * source's keys and values of the tokens before it only, and the first token sees none; decoding
 * goes token by token.
 */
public sealed interface UpwardReading {
  /** What the LCKV code does unless told otherwise: 7 + 2 passes. */
  Parallel LCKV_DEFAULT = new Parallel(7, 2);

  /**
   * The whole prompt is run through the layers several times, each pass reading the keys and values
   * of the one before, the first one zeros. After p passes the first p tokens are exact.
   *
   * @param forwardPasses passes without gradient in training (m in the paper), at least 0
   * @param backwardPasses passes with gradient in training (b in the paper); at inference they are
   *     passes like the others
   */
  record Parallel(int forwardPasses, int backwardPasses) implements UpwardReading {
    /** Refuses fewer than one pass. */
    public Parallel {
      if (forwardPasses < 0 || backwardPasses < 0 || forwardPasses + backwardPasses < 1) {
        throw new IllegalArgumentException(
            "forward_passes and backward_passes must be at least 1 together, found %d and %d"
                .formatted(forwardPasses, backwardPasses));
      }
    }

    /** Passes in all. */
    public int passes() {
      return forwardPasses + backwardPasses;
    }
  }

  /** The prompt is processed token by token. */
  record Sequential() implements UpwardReading {}

  /**
   * What the LCKV code does with the fields of its configuration: at least one backward pass.
   *
   * @param forwardPasses {@code forward_passes}
   * @param backwardPasses {@code backward_passes}
   * @param sequential {@code use_sequential}
   */
  static UpwardReading lckv(int forwardPasses, int backwardPasses, boolean sequential) {
    return sequential ? new Sequential() : new Parallel(forwardPasses, Math.max(1, backwardPasses));
  }

  /** Passes over the whole prompt. */
  static Parallel passes(int passes) {
    return new Parallel(passes, 0);
  }
}
