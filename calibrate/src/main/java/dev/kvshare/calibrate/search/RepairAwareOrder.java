package dev.kvshare.calibrate.search;

import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.repair.ReadingErrors;
import java.util.List;

/**
 * First the pairs of which a refit of the reader's output projection leaves the least error in the
 * residual stream. What it ranks are the errors of {@link ReadingErrors} in place of distances;
 * equal ones are tried by ascending layer, then source.
 */
public record RepairAwareOrder() implements CandidateOrder {
  static final String NAME = "repair-aware";

  @Override
  public String strategy() {
    return NAME;
  }

  @Override
  public List<CandidatePair> rank(DistanceMatrix errors) {
    return new SimilarOrder().rank(errors);
  }
}
