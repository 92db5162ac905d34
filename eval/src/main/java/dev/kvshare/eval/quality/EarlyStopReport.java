package dev.kvshare.eval.quality;

import dev.kvshare.datasets.Passages;
import java.util.List;

/**
 * What several tolerances for the passes of policies do.
 *
 * @param windows the scored token ids and where they came from
 * @param rows the unshared model first, then of each policy all passes and every tolerance
 * @param warnings sentences for the user; empty if all is well
 */
public record EarlyStopReport(Passages windows, List<EarlyStopRow> rows, List<String> warnings) {
  /** Copies the lists. */
  public EarlyStopReport {
    rows = List.copyOf(rows);
    warnings = List.copyOf(warnings);
  }
}
