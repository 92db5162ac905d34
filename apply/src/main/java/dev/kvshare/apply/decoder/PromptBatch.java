package dev.kvshare.apply.decoder;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

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
      int first = 0;
      int end = ids[row].length;
      while (first < end && mask[row][first] == 0) {
        first++;
      }
      while (end > first && mask[row][end - 1] == 0) {
        end--;
      }
      for (int token = first; token < end; token++) {
        if (mask[row][token] == 0) {
          throw new IllegalArgumentException(
              "row %d of the attention mask is 0 at position %d, between tokens; padding may stand at the left or the right end only."
                  .formatted(row, token));
        }
      }
      rows.add(Arrays.copyOfRange(ids[row], first, end));
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
}
