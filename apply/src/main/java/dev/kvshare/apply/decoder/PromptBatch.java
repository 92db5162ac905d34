package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * Prompts that are processed together. Inside, rows are aligned at their end (padded on the left),
 * so that every row's next token stands at the same cache position; each row counts its positions
 * from its own first token.
 *
 * @param rows B prompts of token ids, each with at least one
 */
public record PromptBatch(List<int[]> rows) {

  /** Copies and checks the rows. */
  public PromptBatch {
    rows = rows.stream().map(int[]::clone).toList();
    if (rows.isEmpty() || rows.stream().anyMatch(row -> row.length == 0)) {
      throw new IllegalArgumentException("a prompt batch needs at least one token in each row.");
    }
  }

  /** One row for each array. */
  public static PromptBatch of(int[]... rows) {
    return new PromptBatch(List.of(rows));
  }

  /**
   * From rows of equal length with padding at the left or the right end.
   *
   * @param ids [B, T]
   * @param mask [B, T], 1 for a token and 0 for padding, as tokenizers give it
   */
  public static PromptBatch padded(int[][] ids, int[][] mask) {
    List<int[]> rows = new ArrayList<>();
    for (int row = 0; row < ids.length; row++) {
      int[] tokens = ids[row];
      int[] seen = mask[row];
      int[] real = IntStream.range(0, tokens.length).filter(at -> seen[at] != 0).toArray();
      for (int i = 1; i < real.length; i++) {
        if (real[i] > real[i - 1] + 1) {
          throw new IllegalArgumentException(
              "row %d of the attention mask is 0 at position %d, between tokens; padding may stand at the left or the right end only."
                  .formatted(row, real[i - 1] + 1));
        }
      }
      rows.add(Arrays.stream(real).map(at -> tokens[at]).toArray());
    }
    return new PromptBatch(rows);
  }

  /** B. */
  public int size() {
    return rows.size();
  }

  /** Tokens of the longest row. */
  public int longest() {
    return rows.stream().mapToInt(row -> row.length).max().orElseThrow();
  }

  /** Rows without their last {@code tokens} tokens, of which each has more. */
  PromptBatch withoutLast(int tokens) {
    return new PromptBatch(
        rows.stream().map(row -> Arrays.copyOf(row, row.length - tokens)).toList());
  }

  /** The first position of each row when all end together; empty when all are equally long. */
  long[] firstPositions() {
    int longest = longest();
    long[] first = rows.stream().mapToLong(row -> longest - row.length).toArray();
    return Arrays.stream(first).allMatch(position -> position == 0) ? new long[0] : first;
  }

  /** Ids of the positions {@code start} to {@code end - 1}, row-major; 0 for padding. */
  long[] column(int start, int end) {
    int longest = longest();
    long[] ids = new long[rows.size() * (end - start)];
    for (int row = 0; row < rows.size(); row++) {
      int[] tokens = rows.get(row);
      int padding = longest - tokens.length;
      for (int position = Math.max(start, padding); position < end; position++) {
        ids[row * (end - start) + position - start] = tokens[position - padding];
      }
    }
    return ids;
  }

  /**
   * The tokens behind a cache, kept for models whose keys must all be computed again once a
   * sequence outgrows the trained context (LongRoPE).
   */
  static final class History {
    private final List<int[]> rows = new ArrayList<>();
    private final int[] lengths;

    History(int batch) {
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

    /** Adds tokens, int64 [B] or [B, T], behind the {@code filled} positions of a cache. */
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
        LongStream own = Arrays.stream(tokens, row * count, (row + 1) * count);
        append(row, own.mapToInt(Math::toIntExact).toArray());
      }
    }

    /** The tokens of chosen rows. */
    History select(int... chosen) {
      History other = new History(chosen.length);
      for (int row = 0; row < chosen.length; row++) {
        other.append(row, Arrays.copyOf(rows.get(chosen[row]), lengths[chosen[row]]));
      }
      return other;
    }

    /** The rows so far. */
    PromptBatch prompts() {
      return new PromptBatch(
          IntStream.range(0, lengths.length)
              .mapToObj(row -> Arrays.copyOf(rows.get(row), lengths[row]))
              .toList());
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
}
