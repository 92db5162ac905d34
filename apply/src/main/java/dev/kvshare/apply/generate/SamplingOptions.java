package dev.kvshare.apply.generate;

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
          "The sampling option " + name + " is " + found + " but must be " + expected + ".");
    }
  }
}
