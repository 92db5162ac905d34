package dev.kvshare.eval;

import dev.kvshare.datasets.Passages;
import java.util.List;

/**
 * The outcome of an evaluation.
 *
 * @param windows the scored token ids and where they came from
 * @param rows the unshared model first, then the policies in the order of the request
 * @param warnings sentences for the user; empty if all is well
 */
public record EvaluationReport(Passages windows, List<EvaluationRow> rows, List<String> warnings) {
  /** Copies the lists. */
  public EvaluationReport {
    rows = List.copyOf(rows);
    warnings = List.copyOf(warnings);
  }
}
