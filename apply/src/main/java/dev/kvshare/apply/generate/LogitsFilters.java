package dev.kvshare.apply.generate;

import java.util.Arrays;
import java.util.BitSet;

/**
 * The steps that shape the logits of one row before a token is drawn. Each works in place on
 * float32 [V] and sets the logits of excluded tokens to negative infinity; each gives what the
 * processor of the same name in transformers gives.
 */
final class LogitsFilters {
  private LogitsFilters() {}

  /** Makes tokens that occurred less likely: a positive logit is divided, another multiplied. */
  static void repetitionPenalty(float[] logits, BitSet occurred, double penalty) {
    float factor = (float) penalty;
    for (int id = occurred.nextSetBit(0); id >= 0; id = occurred.nextSetBit(id + 1)) {
      logits[id] = logits[id] < 0 ? logits[id] * factor : logits[id] / factor;
    }
  }

  static void exclude(float[] logits, BitSet ids) {
    for (int id = ids.nextSetBit(0); id >= 0; id = ids.nextSetBit(id + 1)) {
      logits[id] = Float.NEGATIVE_INFINITY;
    }
  }

  static void temperature(float[] logits, double temperature) {
    float divisor = (float) temperature;
    for (int id = 0; id < logits.length; id++) {
      logits[id] /= divisor;
    }
  }

  /** Keeps the k highest logits, and all that equal the lowest of them. */
  static void topK(float[] logits, int k) {
    if (k >= logits.length) {
      return;
    }
    float[] sorted = logits.clone();
    Arrays.sort(sorted);
    excludeBelow(logits, sorted[sorted.length - k]);
  }

  /**
   * Removes the least likely tokens as long as their probabilities sum to no more than {@code 1 -
   * topP}; the likeliest is always kept.
   */
  static void topP(float[] logits, double topP) {
    double[] probabilities = probabilities(logits);
    // All tokens below this bound together cannot reach 1 - topP: no need to sort them.
    double bound = (1 - topP) / logits.length;
    double removed = 0;
    int candidates = 0;
    int[] ids = new int[logits.length];
    for (int id = 0; id < logits.length; id++) {
      if (probabilities[id] < bound) {
        removed += probabilities[id];
        logits[id] = Float.NEGATIVE_INFINITY;
      } else {
        ids[candidates++] = id;
      }
    }
    for (int id : ascending(logits, ids, candidates)) {
      removed += probabilities[id];
      if (removed > 1 - topP || --candidates == 0) {
        return;
      }
      logits[id] = Float.NEGATIVE_INFINITY;
    }
  }

  /** Keeps tokens at least {@code minP} times as likely as the likeliest. */
  static void minP(float[] logits, double minP) {
    excludeBelow(logits, (float) (max(logits) + Math.log(minP)));
  }

  /**
   * Softmax in double precision.
   *
   * @return [V], 0 for excluded tokens
   */
  static double[] probabilities(float[] logits) {
    double highest = max(logits);
    double[] probabilities = new double[logits.length];
    double sum = 0;
    for (int id = 0; id < logits.length; id++) {
      probabilities[id] = Math.exp(logits[id] - highest);
      sum += probabilities[id];
    }
    for (int id = 0; id < logits.length; id++) {
      probabilities[id] /= sum;
    }
    return probabilities;
  }

  /** The id of the highest logit, the first of equals. */
  static int argMax(float[] logits) {
    int best = 0;
    for (int id = 1; id < logits.length; id++) {
      if (logits[id] > logits[best]) {
        best = id;
      }
    }
    return best;
  }

  private static float max(float[] logits) {
    return logits[argMax(logits)];
  }

  private static void excludeBelow(float[] logits, float bound) {
    for (int id = 0; id < logits.length; id++) {
      if (logits[id] < bound) {
        logits[id] = Float.NEGATIVE_INFINITY;
      }
    }
  }

  /** The first {@code count} ids, lowest logit first. */
  private static int[] ascending(float[] logits, int[] ids, int count) {
    long[] keys = new long[count];
    for (int i = 0; i < count; i++) {
      int bits = Float.floatToIntBits(logits[ids[i]]);
      // The bits of negative floats fall as the value rises: flip them to sort as integers.
      int ordered = bits ^ ((bits >> 31) & Integer.MAX_VALUE);
      keys[i] = ((long) ordered << 32) | ids[i];
    }
    Arrays.sort(keys);
    return Arrays.stream(keys).mapToInt(key -> (int) key).toArray();
  }
}
