package dev.kvshare.eval;

import dev.kvshare.datasets.Datasets;
import dev.kvshare.eval.quality.EvaluationText;
import dev.kvshare.eval.speed.SpeedSettings;
import java.util.List;

/**
 * What to measure.
 *
 * @param text the evaluation text
 * @param policies the policies to compare with the unshared model, in the order of the rows
 * @param caches cache policies to measure under each map, or null for none
 * @param speed how speed is measured, or null to leave it out
 * @param datasets where calibration texts are looked up for the overlap warning
 */
public record EvaluationRequest(
    EvaluationText text,
    List<EvaluatedPolicy> policies,
    CacheComparison caches,
    SpeedSettings speed,
    Datasets datasets) {
  /** Copies the list. */
  public EvaluationRequest {
    policies = List.copyOf(policies);
  }
}
