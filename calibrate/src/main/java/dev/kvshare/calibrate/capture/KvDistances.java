package dev.kvshare.calibrate.capture;

import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Distances of averaged keys (after rotary embedding) and values (KVSharer, arXiv 2410.18517,
 * section 3.1.2): the L2 norm over the head dimension of the difference, averaged over heads and
 * positions. The only class that uses ND4J; it computes in float64.
 *
 * <p>As in KVSharer's code, only samples as long as the first one are summed, while the divisor
 * counts all. With samples of one length, which the sampler gives, this is the plain average.
 */
public final class KvDistances {
  private final float[][] keys;
  private final float[][] values;
  private final int samples;

  /**
   * Sums that are still zero.
   *
   * @param layers L
   * @param samples the divisor: the number of samples, of whatever length
   */
  KvDistances(int layers, int samples) {
    this.keys = new float[layers][];
    this.values = new float[layers][];
    this.samples = samples;
  }

  /**
   * Adds what some samples of the first one's length give in one layer.
   *
   * @param keySum keys summed over these samples, [Hkv, T, D] row-major
   * @param valueSum values, laid out alike
   */
  void add(int layer, float[] keySum, float[] valueSum) {
    keys[layer] = sum(keys[layer], keySum);
    values[layer] = sum(values[layer], valueSum);
  }

  /**
   * All distances of layers with equally shaped keys; NaN for the others.
   *
   * @param headSize D, by which the averages are divided into rows
   */
  public DistanceMatrix matrix(int headSize) {
    PyTorchRuntime.startBeside(Nd4j::getBackend);
    return new DistanceMatrix(
        lower(averages(keys, "keys"), headSize), lower(averages(values, "values"), headSize));
  }

  /** Of each layer, [Hkv, T, D] row-major. */
  private float[][] averages(float[][] sums, String what) {
    float[][] averages = new float[sums.length][];
    for (int layer = 0; layer < sums.length; layer++) {
      averages[layer] = average(sums[layer]);
      requireFinite(averages[layer], layer, what);
    }
    return averages;
  }

  private static float[] sum(float[] sum, float[] more) {
    if (sum == null) {
      return more.clone();
    }
    for (int i = 0; i < sum.length; i++) {
      sum[i] += more[i];
    }
    return sum;
  }

  private float[] average(float[] sum) {
    float[] average = Arrays.copyOf(sum, sum.length);
    for (int i = 0; i < average.length; i++) {
      average[i] /= samples;
    }
    return average;
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
