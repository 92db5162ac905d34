package dev.kvshare.eval;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.EvaluationWindows;
import dev.kvshare.datasets.TextEncoder;
import java.util.List;

/**
 * What to measure.
 *
 * @param text the evaluation text
 * @param encoder tokenises it without added tokens; may be null if it holds token ids
 * @param windows how it is cut
 * @param policies the policies to compare with the unshared model, in the order of the rows
 * @param speed how speed is measured, or null to leave it out
 * @param datasets where calibration texts are looked up for the overlap warning
 */
public record EvaluationRequest(
    Corpus text,
    TextEncoder encoder,
    EvaluationWindows windows,
    List<EvaluatedPolicy> policies,
    SpeedSettings speed,
    Datasets datasets) {
  /** Copies the list. */
  public EvaluationRequest {
    policies = List.copyOf(policies);
  }
}
