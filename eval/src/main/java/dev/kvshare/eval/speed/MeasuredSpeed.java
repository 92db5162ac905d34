package dev.kvshare.eval.speed;

import java.util.List;

/**
 * The speed of every row of an evaluation.
 *
 * @param speeds in the order of the rows; empty if speed was not asked for
 * @param warnings sentences for the user; empty if all is well
 */
public record MeasuredSpeed(List<Speed> speeds, List<String> warnings) {
  /** Copies the lists. */
  public MeasuredSpeed {
    speeds = List.copyOf(speeds);
    warnings = List.copyOf(warnings);
  }
}
