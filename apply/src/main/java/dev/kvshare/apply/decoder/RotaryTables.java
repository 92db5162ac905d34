package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.RotarySpec;
import java.util.List;

/**
 * Cosines and sines of every kind of rotary embedding of a model, for the positions in use. Angles
 * are computed as transformers does, in float32, and rounded to the compute type.
 */
public final class RotaryTables implements AutoCloseable {
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
  private IValue cosines;
  private IValue sines;

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
  public void prepare(int from, int to, int length) {
    if (dependsOnLength) {
      List<Integer> wanted =
          kinds.stream().map(kind -> RotaryFrequencies.regime(kind, length)).toList();
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
            .anyMatch(
                kind ->
                    RotaryFrequencies.regime(kind, before)
                        != RotaryFrequencies.regime(kind, after));
  }

  /** For each kind [positions, R]. */
  public IValue cosines() {
    return cosines;
  }

  /** For each kind [positions, R], the first half of each row negated. */
  public IValue sines() {
    return sines;
  }

  /** The cosines of one kind, [positions, R]. */
  PtNDArray cosine(RotarySpec kind) {
    return cosineTables[kinds.indexOf(kind)];
  }

  /** The sines of one kind, [positions, R], the first half of each row negated. */
  PtNDArray sine(RotarySpec kind) {
    return sineTables[kinds.indexOf(kind)];
  }

  @Override
  public void close() {
    if (manager != null) {
      cosines.close();
      sines.close();
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
      float[] inverse = RotaryFrequencies.inverse(rotary, dependsOnLength ? regimes.get(kind) : 0);
      float factor = (float) RotaryFrequencies.attentionFactor(rotary);
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
    cosines = IValue.listFrom(cosineTables);
    sines = IValue.listFrom(sineTables);
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
}
