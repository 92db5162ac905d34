package dev.kvshare.datasets;

import java.util.Arrays;
import java.util.List;

/**
 * Token ids ready for a model, with an account of how they were chosen.
 *
 * @param name the file name or the name of the data set
 * @param sha256 64 hexadecimal digits over the bytes of the text
 * @param windows token ids in order, none empty; the arrays are shared, not copied
 * @param counts what was read, used and dropped
 * @param notes sentences for the user where something else than asked for was done; else empty
 */
public record Passages(
    String name, String sha256, List<int[]> windows, Counts counts, List<String> notes) {

  /**
   * What was read, used and dropped.
   *
   * @param unit what is counted: {@code paragraphs}, {@code windows} or {@code sequences}
   * @param read units looked at
   * @param used units that became windows
   * @param dropped units looked at and too short
   */
  public record Counts(String unit, int read, int used, int dropped) {}

  /** Copies the lists and refuses to be empty. */
  public Passages {
    windows = List.copyOf(windows);
    notes = List.copyOf(notes);
    if (windows.isEmpty()) {
      throw new IllegalArgumentException("no windows");
    }
  }

  /** Returns the number of tokens of all windows together. */
  public long tokens() {
    return windows.stream().mapToLong(window -> window.length).sum();
  }

  /** Returns the highest token id, for a check against the vocabulary. */
  public int highestId() {
    return windows.stream().flatMapToInt(Arrays::stream).max().getAsInt();
  }

  /**
   * Returns a line such as {@code parlour-calibration: 30 paragraphs used of 34 read (4 too short),
   * 1920 tokens}.
   */
  public String summary() {
    String dropped = counts.dropped() == 0 ? "" : " (%d too short)".formatted(counts.dropped());
    return "%s: %d %s used of %d read%s, %d tokens"
        .formatted(name, counts.used(), counts.unit(), counts.read(), dropped, tokens());
  }
}
