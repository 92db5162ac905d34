package dev.kvshare.calibrate.capture;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Samples of one length that run through the model together.
 *
 * @param samples places of the samples in the whole list, ascending
 * @param rows their token ids, equally long
 */
public record SampleBatch(List<Integer> samples, List<int[]> rows) {
  public SampleBatch {
    samples = List.copyOf(samples);
    rows = List.copyOf(rows);
  }

  /** B. */
  public int size() {
    return rows.size();
  }

  /** T. */
  public int tokens() {
    return rows.get(0).length;
  }

  /** Token ids, [B, T] row-major. */
  public long[] ids() {
    long[] ids = new long[size() * tokens()];
    for (int row = 0; row < size(); row++) {
      for (int t = 0; t < tokens(); t++) {
        ids[row * tokens() + t] = rows.get(row)[t];
      }
    }
    return ids;
  }

  /**
   * Groups samples by length, so that no batch needs padding, and splits groups that are too big.
   *
   * @param samples token ids, one array a sample, none empty
   * @param maxTokens most tokens of a batch; one sample may have more
   */
  public static List<SampleBatch> of(List<int[]> samples, int maxTokens) {
    Map<Integer, List<Integer>> byLength = new LinkedHashMap<>();
    for (int i = 0; i < samples.size(); i++) {
      byLength.computeIfAbsent(samples.get(i).length, length -> new ArrayList<>()).add(i);
    }
    List<SampleBatch> batches = new ArrayList<>();
    byLength.forEach(
        (length, group) -> {
          int most = Math.max(1, maxTokens / length);
          for (int from = 0; from < group.size(); from += most) {
            List<Integer> part = group.subList(from, Math.min(group.size(), from + most));
            batches.add(new SampleBatch(part, part.stream().map(samples::get).toList()));
          }
        });
    return batches;
  }
}
