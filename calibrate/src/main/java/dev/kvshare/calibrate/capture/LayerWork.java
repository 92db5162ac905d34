package dev.kvshare.calibrate.capture;

/**
 * How much of the model a search ran; one evaluation is one layer on one sample.
 *
 * @param evaluations evaluations made, those of the unshared model included
 * @param reference evaluations of the papers' procedure for the same tests: every sample through
 *     all layers once for the ranking, and twice for each test, unshared and under the candidate
 */
public record LayerWork(long evaluations, long reference) {
  /** How many times the evaluations made the papers' procedure needs; 1 if nothing was run. */
  public double factor() {
    return evaluations == 0 ? 1 : (double) reference / evaluations;
  }
}
