package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The tokens behind a cache, kept for models whose keys must all be computed again once a sequence
 * outgrows the trained context (LongRoPE).
 */
final class TokenHistory {
  private final List<int[]> rows = new ArrayList<>();
  private final int[] lengths;

  /**
   * @param batch B
   */
  TokenHistory(int batch) {
    lengths = new int[batch];
    for (int row = 0; row < batch; row++) {
      rows.add(new int[64]);
    }
  }

  /** Forgets everything and takes over prompts. */
  void set(PromptBatch prompts) {
    Arrays.fill(lengths, 0);
    for (int row = 0; row < lengths.length; row++) {
      append(row, prompts.rows().get(row));
    }
  }

  /**
   * Adds tokens to every row.
   *
   * @param ids int64, B rows one behind another
   * @param filled positions of the cache before them; later ones are forgotten
   */
  void append(NDArray ids, int filled) {
    long[] tokens = ids.toLongArray();
    int count = tokens.length / lengths.length;
    int surplus = longest() - filled;
    if (surplus < 0) {
      throw new IllegalStateException(
          "the cache holds %d positions, but only %d of their tokens are known, which this model needs: fill the cache by forward, prefill and decode."
              .formatted(filled, longest()));
    }
    for (int row = 0; row < lengths.length; row++) {
      lengths[row] -= surplus;
      append(
          row,
          Arrays.stream(tokens, row * count, (row + 1) * count)
              .mapToInt(Math::toIntExact)
              .toArray());
    }
  }

  /** The rows so far. */
  PromptBatch prompts() {
    List<int[]> prompts = new ArrayList<>();
    for (int row = 0; row < lengths.length; row++) {
      prompts.add(Arrays.copyOf(rows.get(row), lengths[row]));
    }
    return new PromptBatch(prompts);
  }

  private int longest() {
    return Arrays.stream(lengths).max().orElseThrow();
  }

  private void append(int row, int[] tokens) {
    int[] stored = rows.get(row);
    int end = lengths[row] + tokens.length;
    if (end > stored.length) {
      stored = Arrays.copyOf(stored, Math.max(end, 2 * stored.length));
      rows.set(row, stored);
    }
    System.arraycopy(tokens, 0, stored, lengths[row], tokens.length);
    lengths[row] = end;
  }
}
