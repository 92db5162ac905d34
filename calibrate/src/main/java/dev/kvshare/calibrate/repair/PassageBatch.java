package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Windows of one length that run through a layer together. Letters: B windows, T tokens.
 *
 * @param rows token ids, B arrays of T
 * @param validation whether they judge fits instead of making them
 */
record PassageBatch(List<int[]> rows, boolean validation) {

  /** B. */
  int size() {
    return rows.size();
  }

  /** T. */
  int tokens() {
    return rows.get(0).length;
  }

  /** int64 [B, T]. */
  NDArray ids(NDManager manager) {
    long[] ids = new long[size() * tokens()];
    for (int row = 0; row < size(); row++) {
      for (int t = 0; t < tokens(); t++) {
        ids[row * tokens() + t] = rows.get(row)[t];
      }
    }
    return manager.create(ids, new Shape(size(), tokens()));
  }

  /** The tokens that follow one row's, int64 [1, T]; -1 behind the last. */
  NDArray following(NDManager manager, int row) {
    long[] next = new long[tokens()];
    for (int t = 0; t < next.length; t++) {
      next[t] = t + 1 < next.length ? rows.get(row)[t + 1] : -1;
    }
    return manager.create(next, new Shape(1, next.length));
  }

  /**
   * Windows of equal length together, dealt out so that each batch has some from every part of the
   * text.
   */
  static List<PassageBatch> of(RepairPassages windows, int maxTokens) {
    List<PassageBatch> batches = new ArrayList<>(of(windows.fit(), false, maxTokens));
    batches.addAll(of(windows.validation(), true, maxTokens));
    return List.copyOf(batches);
  }

  private static List<PassageBatch> of(List<int[]> windows, boolean validation, int maxTokens) {
    Map<Integer, List<int[]>> byLength = new LinkedHashMap<>();
    for (int[] window : windows) {
      byLength.computeIfAbsent(window.length, length -> new ArrayList<>()).add(window);
    }
    List<PassageBatch> batches = new ArrayList<>();
    byLength.forEach(
        (length, equal) -> {
          int most = Math.max(1, maxTokens / length);
          int count = (equal.size() + most - 1) / most;
          for (int batch = 0; batch < count; batch++) {
            List<int[]> rows = new ArrayList<>();
            for (int row = batch; row < equal.size(); row += count) {
              rows.add(equal.get(row));
            }
            batches.add(new PassageBatch(List.copyOf(rows), validation));
          }
        });
    return batches;
  }
}
