package dev.kvshare.eval.quality;

import java.util.ArrayList;
import java.util.List;

/** Adds up the scores of the windows of one batch under one map, chunk by chunk. */
final class BatchScores {
  private final double[] loss;
  private final double[] squaredLoss;
  private final double[] divergence;
  private final int[] agreements;
  private int tokens;

  BatchScores(int windows) {
    loss = new double[windows];
    squaredLoss = new double[windows];
    divergence = new double[windows];
    agreements = new int[windows];
  }

  /**
   * Adds a chunk of C positions; every array is [B, C], row-major.
   *
   * @param losses negative log-likelihood of the tokens
   * @param divergences Kullback-Leibler divergence from the unshared model
   * @param choices the most likely tokens
   * @param expected the unshared model's most likely tokens
   */
  void add(float[] losses, float[] divergences, long[] choices, long[] expected) {
    int positions = losses.length / loss.length;
    for (int i = 0; i < losses.length; i++) {
      int window = i / positions;
      loss[window] += losses[i];
      squaredLoss[window] += (double) losses[i] * losses[i];
      divergence[window] += divergences[i];
      agreements[window] += choices[i] == expected[i] ? 1 : 0;
    }
    tokens += positions;
  }

  /** Returns the sums, one a window. */
  List<PassageScore> windows() {
    List<PassageScore> scores = new ArrayList<>();
    for (int w = 0; w < loss.length; w++) {
      scores.add(new PassageScore(tokens, loss[w], squaredLoss[w], divergence[w], agreements[w]));
    }
    return scores;
  }
}
