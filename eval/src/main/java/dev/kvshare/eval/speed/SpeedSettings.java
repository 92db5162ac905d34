package dev.kvshare.eval.speed;

/**
 * How speed is measured.
 *
 * @param promptTokens tokens of the prompt
 * @param newTokens tokens decoded after it
 * @param rounds repetitions, of which the median counts
 */
public record SpeedSettings(int promptTokens, int newTokens, int rounds) {
  /** A prompt of 256 tokens, 32 new ones, three rounds. */
  public static final SpeedSettings DEFAULT = new SpeedSettings(256, 32, 3);

  /** Refuses counts below one. */
  public SpeedSettings {
    if (promptTokens < 1 || newTokens < 1 || rounds < 1) {
      throw new IllegalArgumentException(
          "prompt tokens, new tokens and rounds must be at least 1, found %d, %d and %d"
              .formatted(promptTokens, newTokens, rounds));
    }
  }
}
