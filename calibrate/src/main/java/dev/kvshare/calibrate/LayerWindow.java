package dev.kvshare.calibrate;

import java.util.List;

/**
 * What a windowed layer keeps of a text.
 *
 * @param tokens the last tokens, the current one included
 * @param sinks the first tokens of the text besides (attention sinks, arXiv 2309.17453)
 */
public record LayerWindow(int tokens, int sinks) {
  /** Enough on the models that were measured (docs/quality.md). */
  public static final LayerWindow DEFAULT = new LayerWindow(64, 4);

  /** Checks the numbers. */
  public LayerWindow {
    if (tokens < 1 || sinks < 0) {
      throw new CalibrationUsageException(
          "A windowed layer keeps at least 1 of the last tokens and 0 or more of the first, not %d and %d."
              .formatted(tokens, sinks));
    }
  }

  /** Whether any of these texts, token ids each, is longer than what is kept. */
  public boolean isSeenIn(List<int[]> texts) {
    return texts.stream().anyMatch(text -> text.length > tokens + sinks);
  }

  /**
   * Whether any of these texts is long enough to compare what windows lose with what sharing loses:
   * twice as long as what is kept. In shorter ones windows look better than they are.
   */
  public boolean isComparableIn(List<int[]> texts) {
    return texts.stream().anyMatch(text -> text.length >= comparableTokens());
  }

  /** Tokens of a text that {@link #isComparableIn} asks for. */
  public int comparableTokens() {
    return 2 * (tokens + sinks);
  }
}
