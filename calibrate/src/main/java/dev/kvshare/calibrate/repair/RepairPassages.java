package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The text of a repair as token ids, one array a passage.
 *
 * @param fit passages that weights are fitted to
 * @param validation passages that decide between fits and judge the result; where there are none,
 *     the passages of the fit do
 */
public record RepairPassages(List<int[]> fit, List<int[]> validation) {

  /** Copies the lists. */
  public RepairPassages {
    fit = List.copyOf(fit);
    validation = List.copyOf(validation);
    if (fit.isEmpty()) {
      throw new IllegalArgumentException("There is no passage to fit to.");
    }
  }

  /** Passages spread evenly over a text, or all where it has no more. */
  public static List<int[]> spread(List<int[]> text, long most) {
    long count = Math.min(most, text.size());
    List<int[]> chosen = new ArrayList<>();
    for (long passage = 0; passage < count; passage++) {
      chosen.add(text.get(Math.toIntExact(passage * text.size() / count)));
    }
    return chosen;
  }

  /** Every {@code nth} passage for validation, the others, or all of fewer, for the fits. */
  public static RepairPassages split(List<int[]> passages, int nth) {
    List<int[]> fit = new ArrayList<>();
    List<int[]> validation = new ArrayList<>();
    for (int index = 0; index < passages.size(); index++) {
      (index % nth == nth - 1 ? validation : fit).add(passages.get(index));
    }
    return new RepairPassages(fit, validation);
  }

  /**
   * Passages of one length that run through a layer together. Letters: B passages, T tokens.
   *
   * @param rows token ids, B arrays of T
   * @param validation whether they judge fits instead of making them
   */
  record Batch(List<int[]> rows, boolean validation) {

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

    /** Passages of equal length together, each batch with some from every part of the text. */
    static List<Batch> of(RepairPassages passages, int maxTokens) {
      List<Batch> batches = new ArrayList<>(of(passages.fit(), false, maxTokens));
      batches.addAll(of(passages.validation(), true, maxTokens));
      return List.copyOf(batches);
    }

    private static List<Batch> of(List<int[]> passages, boolean validation, int maxTokens) {
      Map<Integer, List<int[]>> byLength = new LinkedHashMap<>();
      for (int[] passage : passages) {
        byLength.computeIfAbsent(passage.length, length -> new ArrayList<>()).add(passage);
      }
      List<Batch> batches = new ArrayList<>();
      byLength.forEach(
          (length, equal) -> {
            int most = Math.max(1, maxTokens / length);
            int count = (equal.size() + most - 1) / most;
            for (int batch = 0; batch < count; batch++) {
              List<int[]> rows = new ArrayList<>();
              for (int row = batch; row < equal.size(); row += count) {
                rows.add(equal.get(row));
              }
              batches.add(new Batch(List.copyOf(rows), validation));
            }
          });
      return batches;
    }
  }
}
