package dev.kvshare.apply.generate;

import java.util.BitSet;
import java.util.SplittableRandom;

/** Chooses the tokens of one row. Depends on nothing but its options, its stream and the logits. */
final class Sampler {
  private final SamplingOptions options;
  private final SplittableRandom random;
  private final BitSet occurred;
  private final BitSet excluded;

  /**
   * @param random the row's own stream
   * @param prompt ids that count as having occurred
   * @param excluded ids that are never chosen
   */
  Sampler(SamplingOptions options, SplittableRandom random, BitSet prompt, BitSet excluded) {
    this.options = options;
    this.random = random;
    this.occurred = (BitSet) prompt.clone();
    this.excluded = excluded;
  }

  /**
   * Chooses a token.
   *
   * @param logits float32 [V]; overwritten
   */
  int choose(float[] logits) {
    if (options.repetitionPenalty() != 1) {
      LogitsFilters.repetitionPenalty(logits, occurred, options.repetitionPenalty());
    }
    LogitsFilters.exclude(logits, excluded);
    int id = options.isGreedy() ? LogitsFilters.argMax(logits) : draw(logits);
    occurred.set(id);
    return id;
  }

  private int draw(float[] logits) {
    LogitsFilters.temperature(logits, options.temperature());
    if (options.topK() > 0) {
      LogitsFilters.topK(logits, options.topK());
    }
    if (options.topP() < 1) {
      LogitsFilters.topP(logits, options.topP());
    }
    if (options.minP() > 0) {
      LogitsFilters.minP(logits, options.minP());
    }
    double[] probabilities = LogitsFilters.probabilities(logits);
    double rest = random.nextDouble();
    int last = 0;
    for (int id = 0; id < probabilities.length; id++) {
      if (probabilities[id] > 0) {
        last = id;
        rest -= probabilities[id];
        if (rest < 0) {
          return id;
        }
      }
    }
    return last;
  }
}
