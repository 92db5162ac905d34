package dev.kvshare.apply.decoder;

import dev.kvshare.apply.family.spec.RotarySpec;
import java.util.List;

/**
 * Frequencies of rotary embeddings, rounded to float32 where transformers rounds them. Some depend
 * on the length of the sequence: a regime is what the frequencies depend on, so that equal regimes
 * have equal tables.
 */
final class RotaryFrequencies {

  private RotaryFrequencies() {}

  /** The regime of a sequence of {@code length} tokens. */
  static int regime(RotarySpec rotary, int length) {
    if (rotary.scaling() instanceof RotarySpec.Dynamic dynamic) {
      return Math.max(length, dynamic.trainedPositions());
    }
    if (rotary.scaling() instanceof RotarySpec.LongRope longRope) {
      return length > longRope.trainedPositions() ? 1 : 0;
    }
    return 0;
  }

  /** Radians a position for each rotated pair, [R / 2]. */
  static float[] inverse(RotarySpec rotary, int regime) {
    RotarySpec.Scaling scaling = rotary.scaling();
    if (scaling instanceof RotarySpec.Dynamic dynamic) {
      return plain(dynamicBase(rotary, dynamic, regime), rotary.dimensions());
    }
    float[] inverse = plain(rotary.base(), rotary.dimensions());
    if (scaling instanceof RotarySpec.Linear linear) {
      for (int pair = 0; pair < inverse.length; pair++) {
        inverse[pair] = (float) (inverse[pair] / linear.factor());
      }
    } else if (scaling instanceof RotarySpec.Llama3 llama3) {
      llama3(inverse, llama3);
    } else if (scaling instanceof RotarySpec.Yarn yarn) {
      yarn(inverse, rotary, yarn);
    } else if (scaling instanceof RotarySpec.LongRope longRope) {
      List<Double> factors = regime == 1 ? longRope.longFactors() : longRope.shortFactors();
      for (int pair = 0; pair < inverse.length; pair++) {
        double power = Math.pow(rotary.base(), 2.0 * pair / rotary.dimensions());
        inverse[pair] = (float) (1.0 / (factors.get(pair) * power));
      }
    }
    return inverse;
  }

  /** What cosines and sines are multiplied by. */
  static double attentionFactor(RotarySpec rotary) {
    if (rotary.scaling() instanceof RotarySpec.Yarn yarn) {
      return yarn.attentionFactor();
    }
    if (rotary.scaling() instanceof RotarySpec.LongRope longRope) {
      return longRope.attentionFactor();
    }
    return 1;
  }

  private static float[] plain(double base, int dimensions) {
    float[] inverse = new float[dimensions / 2];
    for (int pair = 0; pair < inverse.length; pair++) {
      inverse[pair] = (float) (1.0 / Math.pow(base, 2.0 * pair / dimensions));
    }
    return inverse;
  }

  /** NTK-aware base for a sequence beyond the trained positions. */
  private static double dynamicBase(RotarySpec rotary, RotarySpec.Dynamic dynamic, int length) {
    double stretch =
        dynamic.factor() * length / dynamic.trainedPositions() - (dynamic.factor() - 1);
    double exponent = rotary.dimensions() / (rotary.dimensions() - 2.0);
    return rotary.base() * Math.pow(stretch, exponent);
  }

  private static void llama3(float[] inverse, RotarySpec.Llama3 scaling) {
    double longWave = scaling.trainedPositions() / scaling.lowFrequencyFactor();
    double shortWave = scaling.trainedPositions() / scaling.highFrequencyFactor();
    for (int pair = 0; pair < inverse.length; pair++) {
      double wave = 2 * Math.PI / inverse[pair];
      if (wave > longWave) {
        inverse[pair] = (float) (inverse[pair] / scaling.factor());
      } else if (wave >= shortWave) {
        double keep =
            (scaling.trainedPositions() / wave - scaling.lowFrequencyFactor())
                / (scaling.highFrequencyFactor() - scaling.lowFrequencyFactor());
        inverse[pair] =
            (float) ((1 - keep) * inverse[pair] / scaling.factor() + keep * inverse[pair]);
      }
    }
  }

  private static void yarn(float[] inverse, RotarySpec rotary, RotarySpec.Yarn scaling) {
    double low = correctionDimension(scaling.betaFast(), rotary, scaling);
    double high = correctionDimension(scaling.betaSlow(), rotary, scaling);
    if (scaling.truncate()) {
      low = Math.floor(low);
      high = Math.ceil(high);
    }
    low = Math.max(low, 0);
    high = Math.min(high, rotary.dimensions() - 1.0);
    double width = low == high ? 0.001 : high - low;
    for (int pair = 0; pair < inverse.length; pair++) {
      double interpolated = Math.min(1, Math.max(0, (pair - low) / width));
      inverse[pair] =
          (float)
              (inverse[pair] / scaling.factor() * interpolated
                  + inverse[pair] * (1 - interpolated));
    }
  }

  /** The pair that turns {@code rotations} times over the trained positions. */
  private static double correctionDimension(
      double rotations, RotarySpec rotary, RotarySpec.Yarn scaling) {
    return rotary.dimensions()
        * Math.log(scaling.trainedPositions() / (rotations * 2 * Math.PI))
        / (2 * Math.log(rotary.base()));
  }
}
