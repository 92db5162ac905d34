package dev.kvshare.calibrate.capture;

import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.calibrate.CalibrationException;
import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Distances of averaged keys and values (KVSharer, arXiv 2410.18517, section 3.1.2): the L2 norm
 * over the head dimension of the difference, averaged over heads and positions. The only class that
 * uses ND4J; it computes in float64.
 */
public final class KvDistances {
  private KvDistances() {}

  /**
   * All distances of layers with equally shaped keys; NaN for the others.
   *
   * @param headSize D, by which the averages are divided into rows
   */
  public static DistanceMatrix of(KvAverages averages, int headSize) {
    PyTorchRuntime.startBeside(Nd4j::getBackend);
    int layers = averages.layers();
    float[][] keys = new float[layers][];
    float[][] values = new float[layers][];
    for (int layer = 0; layer < layers; layer++) {
      keys[layer] = averages.keys(layer);
      values[layer] = averages.values(layer);
      requireFinite(keys[layer], layer, "keys");
      requireFinite(values[layer], layer, "values");
    }
    return new DistanceMatrix(lower(keys, headSize), lower(values, headSize));
  }

  private static double[][] lower(float[][] averages, int headSize) {
    INDArray[] rows = new INDArray[averages.length];
    for (int layer = 0; layer < rows.length; layer++) {
      try (INDArray single =
          Nd4j.create(averages[layer], averages[layer].length / headSize, headSize)) {
        rows[layer] = single.castTo(DataType.DOUBLE);
      }
    }
    double[][] lower = new double[rows.length][];
    for (int layer = 0; layer < rows.length; layer++) {
      lower[layer] = new double[layer];
      for (int source = 0; source < layer; source++) {
        lower[layer][source] = distance(rows[layer], rows[source]);
      }
    }
    Arrays.stream(rows).forEach(INDArray::close);
    return lower;
  }

  /** Mean over rows of the L2 norm of the rows' difference; both [Hkv * T, D]. */
  private static double distance(INDArray first, INDArray second) {
    if (!Arrays.equals(first.shape(), second.shape())) {
      return Double.NaN;
    }
    try (INDArray difference = first.sub(second);
        INDArray norms = difference.norm2(1)) {
      return norms.meanNumber().doubleValue();
    }
  }

  private static void requireFinite(float[] averages, int layer, String what) {
    for (float value : averages) {
      if (!Float.isFinite(value)) {
        throw new CalibrationException(
            "The averaged "
                + what
                + " of layer "
                + layer
                + " hold "
                + value
                + ", so distances cannot be computed. Look for NaN or infinite weights, or compute"
                + " in a type with a larger range (float32, bfloat16).");
      }
    }
  }
}
