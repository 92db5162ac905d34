package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Pairs in a random order: the baseline that a ranking has to beat (arXiv 2410.18517, section 5.2).
 *
 * @param seed of {@link Random}, whose algorithm Java fixes: one seed gives one order everywhere
 */
public record RandomMethod(long seed) implements PairOrder {
  /** Its name on the command line and in the policy. */
  public static final String NAME = "random";

  @Override
  public String methodName() {
    return NAME;
  }

  @Override
  public List<DistanceMatrix.Pair> rank(DistanceMatrix distances) {
    List<DistanceMatrix.Pair> pairs = new ArrayList<>(distances.pairs());
    Collections.shuffle(pairs, new Random(seed));
    return pairs;
  }
}
