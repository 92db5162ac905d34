package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.RotarySpec;
import java.util.List;

/**
 * Cosines and sines of every kind of rotary embedding of a model, for the positions in use. Angles
 * are computed as transformers does, in float32, and rounded to the compute type; frequencies are
 * rounded to float32 where transformers rounds them. Some depend on the length of the sequence: a
 * regime is what the frequencies depend on, so that equal regimes have equal tables.
 */
final class RotaryTables implements AutoCloseable {
  private static final int BLOCK = 1024;

  private final ScriptModule script;
  private final PtNDManager parent;
  private final ComputeType type;
  private final List<RotarySpec> kinds;
  private final boolean dependsOnLength;
  private List<Integer> regimes = List.of();
  private int filledFrom;
  private int filledTo;
  private PtNDManager manager;
  private PtNDArray[] cosineTables;
  private PtNDArray[] sineTables;
  private List<IValue> tables;

  /**
   * @param kinds the distinct rotary embeddings, in the order of their tables; at least one
   */
  RotaryTables(ScriptModule script, PtNDManager parent, ComputeType type, List<RotarySpec> kinds) {
    this.script = script;
    this.parent = parent;
    this.type = type;
    this.kinds = List.copyOf(kinds);
    this.dependsOnLength = kinds.stream().anyMatch(RotarySpec::dependsOnLength);
  }

  /**
   * Makes the tables right for the positions from {@code from} to {@code to - 1}.
   *
   * @param length tokens of the whole sequence at hand, on which the frequencies may depend
   */
  void prepare(int from, int to, int length) {
    if (dependsOnLength) {
      List<Integer> wanted = kinds.stream().map(kind -> regime(kind, length)).toList();
      if (!wanted.equals(regimes) || from < filledFrom || to > filledTo) {
        regimes = wanted;
        fill(from, Math.max(to, length));
      }
    } else if (to > filledTo) {
      fill(0, (to + BLOCK - 1) / BLOCK * BLOCK);
    }
  }

  /** Whether some kind has frequencies of its own beyond the trained positions. */
  boolean hasLongRope() {
    return kinds.stream().anyMatch(RotarySpec::hasTwoRegimes);
  }

  /**
   * Whether keys of a sequence of {@code before} tokens are of no use when it has {@code after}.
   */
  boolean switches(int before, int after) {
    return before > 0
        && kinds.stream()
            .filter(RotarySpec::hasTwoRegimes)
            .anyMatch(kind -> regime(kind, before) != regime(kind, after));
  }

  /** Cosines and sines, for each kind [positions, R]; of sines the first half of a row negated. */
  List<IValue> tables() {
    return tables;
  }

  /** The same of one kind. */
  List<PtNDArray> tables(RotarySpec kind) {
    return List.of(cosineTables[kinds.indexOf(kind)], sineTables[kinds.indexOf(kind)]);
  }

  @Override
  public void close() {
    if (manager != null) {
      tables.forEach(IValue::close);
      manager.close();
    }
  }

  private void fill(int from, int to) {
    close();
    manager = (PtNDManager) parent.newSubManager();
    cosineTables = new PtNDArray[kinds.size()];
    sineTables = new PtNDArray[kinds.size()];
    for (int kind = 0; kind < kinds.size(); kind++) {
      RotarySpec rotary = kinds.get(kind);
      int rotated = rotary.dimensions();
      float[] inverse = inverse(rotary, dependsOnLength ? regimes.get(kind) : 0);
      float factor = (float) attentionFactor(rotary);
      float[] cosine = new float[to * rotated];
      float[] sine = new float[to * rotated];
      for (int position = from; position < to; position++) {
        for (int pair = 0; pair < inverse.length; pair++) {
          float angle = position * inverse[pair];
          int left = position * rotated + pair;
          int right = left + inverse.length;
          cosine[left] = (float) Math.cos(angle) * factor;
          sine[right] = (float) Math.sin(angle) * factor;
          cosine[right] = cosine[left];
          sine[left] = -sine[right];
        }
      }
      cosineTables[kind] = table(cosine, to, rotated);
      sineTables[kind] = table(sine, to, rotated);
    }
    tables = List.of(IValue.listFrom(cosineTables), IValue.listFrom(sineTables));
    filledFrom = from;
    filledTo = to;
  }

  private PtNDArray table(float[] numbers, int positions, int rotated) {
    // A created array shares the memory of a Java buffer, which is freed with it: the copy does
    // not.
    try (PtNDArray exact = (PtNDArray) manager.create(numbers, new Shape(positions, rotated))) {
      return script.convert(manager, exact, type);
    }
  }

  /** The regime of a sequence of {@code length} tokens. */
  private static int regime(RotarySpec rotary, int length) {
    if (rotary.scaling() instanceof RotarySpec.Dynamic dynamic) {
      return Math.max(length, dynamic.trainedPositions());
    }
    if (rotary.scaling() instanceof RotarySpec.LongRope longRope) {
      return length > longRope.trainedPositions() ? 1 : 0;
    }
    return 0;
  }

  /** Radians a position for each rotated pair, [R / 2]. */
  private static float[] inverse(RotarySpec rotary, int regime) {
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
  private static double attentionFactor(RotarySpec rotary) {
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
