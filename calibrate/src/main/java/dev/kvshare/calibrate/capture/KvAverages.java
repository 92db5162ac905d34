package dev.kvshare.calibrate.capture;

import java.util.Arrays;

/**
 * Running sums of keys (after rotary embedding) and values over samples, a layer at a time.
 *
 * <p>As in KVSharer's code, only samples as long as the first one are summed, while the divisor
 * counts all. With samples of one length, which the sampler gives, this is the plain average.
 */
public final class KvAverages {
  private final float[][] keys;
  private final float[][] values;
  private final int samples;

  /**
   * Sums that are still zero.
   *
   * @param layers L
   * @param samples the divisor: the number of samples, of whatever length
   */
  KvAverages(int layers, int samples) {
    this.keys = new float[layers][];
    this.values = new float[layers][];
    this.samples = samples;
  }

  int layers() {
    return keys.length;
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

  /** The averaged keys of a layer, [Hkv, T, D] row-major. */
  float[] keys(int layer) {
    return average(keys[layer]);
  }

  /** The averaged values of a layer, laid out alike. */
  float[] values(int layer) {
    return average(values[layer]);
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
}
