package dev.kvshare.calibrate.capture;

/**
 * A layer that could read the keys and values of a lower one; with itself one that could be
 * windowed.
 *
 * @param layer the layer that would share
 * @param source the lower layer whose keys and values it would read, or the layer itself
 * @param distance distance of the two in the {@link DistanceMatrix} that ranks them; of a windowed
 *     layer the KL divergence from the unshared model when it alone is windowed
 */
public record CandidatePair(int layer, int source, double distance) {
  public CandidatePair {
    if (source < 0 || source > layer) {
      throw new IllegalArgumentException(
          "The source of layer " + layer + " must be a layer below it or itself, not " + source);
    }
  }
}
