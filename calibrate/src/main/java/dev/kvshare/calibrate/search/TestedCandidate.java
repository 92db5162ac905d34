package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.MeasuredSimilarity;

/**
 * One step of the search: a candidate that was run on the samples.
 *
 * @param rank place of the pair in the candidate order, from 0
 * @param pair the pair of layers; a windowed layer with itself
 * @param plan what was tested, chains resolved
 * @param measured its similarity with the unshared model, complete if accepted
 * @param divergence mean KL divergence in nats from the unshared model when repaired, null where
 *     the plan was tested without repair
 * @param accepted whether it became the map of the search
 */
public record TestedCandidate(
    int rank,
    CandidatePair pair,
    Plan plan,
    MeasuredSimilarity measured,
    Double divergence,
    boolean accepted) {

  /** Which layer reads whose keys and values. */
  public SharingMap map() {
    return plan.map();
  }

  /** The mean similarity over the samples that were run. */
  public double similarity() {
    return measured.mean();
  }
}
