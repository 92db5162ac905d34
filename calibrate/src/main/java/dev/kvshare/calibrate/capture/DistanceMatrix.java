package dev.kvshare.calibrate.capture;

import java.util.ArrayList;
import java.util.List;

/**
 * Distances of the layers' averaged keys and values, for pairs of a layer and a lower one.
 *
 * <p>NaN marks a pair that must not share (another head layout, another attention window). Values
 * are L2 norms over the head dimension in the model's own units, averaged over heads and positions.
 */
public final class DistanceMatrix {
  /**
   * A layer that could read the keys and values of a lower one; with itself one that could be
   * windowed.
   *
   * @param layer the layer that would share
   * @param source the lower layer whose keys and values it would read, or the layer itself
   * @param distance distance of the two in the {@link DistanceMatrix} that ranks them; of a
   *     windowed layer the KL divergence from the unshared model when it alone is windowed
   */
  public record Pair(int layer, int source, double distance) {
    public Pair {
      if (source < 0 || source > layer) {
        throw new IllegalArgumentException(
            "The source of layer " + layer + " must be a layer below it or itself, not " + source);
      }
    }
  }

  private final double[][] key;
  private final double[][] value;

  /**
   * @param key distances of the keys; row i has i entries, for the layers below i
   * @param value distances of the values, laid out alike
   */
  public DistanceMatrix(double[][] key, double[][] value) {
    this.key = copyLower(key);
    this.value = copyLower(value);
    if (key.length != value.length) {
      throw new IllegalArgumentException(
          "Distances of the keys of "
              + key.length
              + " layers, but of the values of "
              + value.length);
    }
  }

  public int layers() {
    return key.length;
  }

  public double key(int layer, int source) {
    return key[layer][source];
  }

  public double value(int layer, int source) {
    return value[layer][source];
  }

  /** The mean of the distance of the keys and that of the values. */
  public double distance(int layer, int source) {
    return (key[layer][source] + value[layer][source]) / 2;
  }

  /** Every pair that may share, by ascending layer, then by ascending source. */
  public List<Pair> pairs() {
    List<Pair> pairs = new ArrayList<>();
    for (int layer = 1; layer < layers(); layer++) {
      for (int source = 0; source < layer; source++) {
        double distance = distance(layer, source);
        if (!Double.isNaN(distance)) {
          pairs.add(new Pair(layer, source, distance));
        }
      }
    }
    return pairs;
  }

  private static double[][] copyLower(double[][] lower) {
    double[][] copy = new double[lower.length][];
    for (int row = 0; row < lower.length; row++) {
      if (lower[row].length != row) {
        throw new IllegalArgumentException(
            "Row %d of a lower triangle has %d entries instead of %d"
                .formatted(row, lower[row].length, row));
      }
      copy[row] = lower[row].clone();
    }
    return copy;
  }
}
