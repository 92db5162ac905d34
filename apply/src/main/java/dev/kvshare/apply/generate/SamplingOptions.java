package dev.kvshare.apply.generate;

import java.util.Arrays;
import java.util.BitSet;
import java.util.SplittableRandom;

/**
 * How the next token is chosen. Values are applied in the order of transformers: repetition
 * penalty, temperature, top-k, top-p, min-p.
 *
 * @param temperature divides the logits; 0 takes the likeliest token (greedy)
 * @param topK keeps the k likeliest tokens; 0 keeps all
 * @param topP keeps the likeliest tokens whose probabilities reach this sum; 1 keeps all
 * @param minP keeps tokens with at least this fraction of the highest probability; 0 keeps all
 * @param repetitionPenalty above 1 makes tokens of the prompt and the continuation less likely; 1
 *     changes nothing; used by greedy choice too
 * @param seed the same seed gives the same continuation; each row of a batch has its own stream
 */
public record SamplingOptions(
    double temperature, int topK, double topP, double minP, double repetitionPenalty, long seed) {

  /** The likeliest token each time. */
  public static final SamplingOptions GREEDY = new SamplingOptions(0, 0, 1, 0, 1, 0);

  public SamplingOptions {
    require(
        temperature >= 0 && temperature < Double.POSITIVE_INFINITY,
        "temperature",
        temperature,
        "a number of at least 0 (0 is greedy)");
    require(topK >= 0, "top-k", topK, "an integer of at least 0 (0 keeps all tokens)");
    require(topP > 0 && topP <= 1, "top-p", topP, "above 0 and at most 1 (1 keeps all tokens)");
    require(minP >= 0 && minP <= 1, "min-p", minP, "from 0 to 1 (0 keeps all tokens)");
    require(
        repetitionPenalty > 0 && repetitionPenalty < Double.POSITIVE_INFINITY,
        "repetition penalty",
        repetitionPenalty,
        "a number above 0 (1 changes nothing)");
  }

  /** Sampling from the whole distribution at a temperature. */
  public static SamplingOptions ofTemperature(double temperature, long seed) {
    return new SamplingOptions(temperature, 0, 1, 0, 1, seed);
  }

  /** Whether the likeliest token is taken each time. */
  public boolean isGreedy() {
    return temperature == 0;
  }

  private static void require(boolean valid, String name, Number found, String expected) {
    if (!valid) {
      throw new IllegalArgumentException(
          "The sampling option %s is %s but must be %s.".formatted(name, found, expected));
    }
  }

  /**
   * Chooses the tokens of one row. Depends on nothing but its options, its stream and the logits.
   * The steps that shape the logits work in place on float32 [V] and set the logits of excluded
   * tokens to negative infinity; each gives what the processor of the same name in transformers
   * gives.
   */
  static final class Sampler {
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

    /** Whether the highest logit is taken as it is. */
    boolean takesHighest() {
      return options.isGreedy() && options.repetitionPenalty() == 1 && excluded.isEmpty();
    }

    /** Chooses a token of logits float32 [V], which are overwritten. */
    int choose(float[] logits) {
      if (options.repetitionPenalty() != 1) {
        repetitionPenalty(logits, occurred, options.repetitionPenalty());
      }
      exclude(logits, excluded);
      int id = options.isGreedy() ? argMax(logits) : draw(logits);
      occurred.set(id);
      return id;
    }

    private int draw(float[] logits) {
      temperature(logits, options.temperature());
      if (options.topK() > 0) {
        topK(logits, options.topK());
      }
      if (options.topP() < 1) {
        topP(logits, options.topP());
      }
      if (options.minP() > 0) {
        minP(logits, options.minP());
      }
      double[] probabilities = probabilities(logits);
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

    /** Softmax in double precision, [V]; 0 for excluded tokens. */
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
}
