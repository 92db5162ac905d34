package dev.kvshare.eval.quality;

import dev.kvshare.datasets.Passages;
import java.util.List;

/**
 * The outcome of reading one long text.
 *
 * @param windows its stretches
 * @param rows the unshared model first, each sharing map with the whole cache and with each cache
 *     policy
 */
public record StreamReport(Passages windows, List<StreamRow> rows) {
  /** Copies the list. */
  public StreamReport {
    rows = List.copyOf(rows);
  }
}
