package dev.kvshare.calibrate;

/**
 * A layer that could read the keys and values of a lower one.
 *
 * @param layer the layer that would share
 * @param source the lower layer whose keys and values it would read
 * @param distance distance of the two in the {@link DistanceMatrix} that ranks them
 */
public record CandidatePair(int layer, int source, double distance) {
  public CandidatePair {
    if (source < 0 || source >= layer) {
      throw new IllegalArgumentException(
          "The source of layer " + layer + " must be a layer below it, not " + source);
    }
  }
}
