package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.LinearFits;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * What the attention of a layer would still lack if it read another layer's keys and values and its
 * output projection were refitted. With a_t the attention output of layer i in the unshared model,
 * r_t the residual stream behind it and o_t = softmax(q_i k_j) v_j at token t:
 *
 * <pre>
 * error(i, j) = mean_t |W o_t + b - a_t|^2 / |r_t|^2
 * </pre>
 *
 * <p>W and b are fitted to some windows, the mean is that of others. So the error is the part of
 * the output that no linear map restores times (|a| / |r|)^2, the part that the output has in the
 * stream. Every layer reads what it reads in the unshared model: one pass serves all pairs.
 *
 * <p>Memory for N tokens of hidden size E: the keys and values of all layers, two streams of N x E
 * numbers and what one fit takes.
 */
public final class ReadingErrors {
  private static final List<Double> STRENGTHS = List.of(1e-1);
  private static final int MAX_BATCH_TOKENS = 4096;

  private final Decoder decoder;
  private final LayerParts parts;

  /** Which layer may read which. */
  public interface Pairs {
    /** Whether a layer may read the keys and values of a lower one. */
    boolean mayShare(int layer, int source);
  }

  /** Errors of one model; nothing is closed. */
  public ReadingErrors(Decoder decoder) {
    this.decoder = decoder;
    this.parts = decoder.parts();
  }

  /**
   * The error of every pair.
   *
   * @param pairs those that are measured
   * @param done told the number of layers that are done, after each
   * @return row i has i entries, for the layers below i; NaN where the pair is not measured
   */
  public double[][] measure(RepairPassages windows, Pairs pairs, IntConsumer done) {
    List<PassageBatch> batches = PassageBatch.of(windows, MAX_BATCH_TOKENS);
    int layers = decoder.spec().layers();
    double[][] errors = new double[layers][];
    KeyValues[][] caches = new KeyValues[layers][batches.size()];
    try (NDManager manager = decoder.newManager();
        ReferenceStream reference = new ReferenceStream(decoder, batches, false);
        LinearFits fits = decoder.newFits()) {
      for (int layer = 0; layer < layers; layer++) {
        for (int batch = 0; batch < batches.size(); batch++) {
          NDArray x = reference.step(batch, layer, Part.ATTENTION).x();
          caches[layer][batch] = keyValues(layer, x, manager);
        }
        errors[layer] = new double[layer];
        Arrays.fill(errors[layer], Double.NaN);
        for (int source = 0; source < layer; source++) {
          if (pairs.mayShare(layer, source)) {
            errors[layer][source] = error(layer, caches[source], batches, reference, fits);
          }
        }
        for (int batch = 0; batch < batches.size(); batch++) {
          for (Part part : Part.values()) {
            reference.step(batch, layer, part);
            reference.release(batch, layer, part);
          }
        }
        done.accept(layer + 1);
      }
    }
    return errors;
  }

  private KeyValues keyValues(int layer, NDArray x, NDManager manager) {
    KeyValues cache = parts.newKeyValues(layer, x);
    cache.keys().attach(manager);
    cache.values().attach(manager);
    parts.heads(layer, x, cache, true).close();
    return cache;
  }

  private double error(
      int layer,
      KeyValues[] read,
      List<PassageBatch> batches,
      ReferenceStream reference,
      LinearFits fits) {
    try (NDManager scratch = decoder.newManager();
        PartFit fit = new PartFit(decoder, fits, scratch, layer, Part.ATTENTION, false)) {
      for (int batch = 0; batch < read.length; batch++) {
        ReferenceStream.Step step = reference.step(batch, layer, Part.ATTENTION);
        try (NDArray heads = parts.heads(layer, step.x(), read[batch], false)) {
          fit.add(heads, step.x(), step, batches.get(batch).validation());
        }
      }
      return fit.choose(STRENGTHS).report().errorAfter();
    }
  }
}
