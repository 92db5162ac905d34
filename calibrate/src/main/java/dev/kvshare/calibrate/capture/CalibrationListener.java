package dev.kvshare.calibrate.capture;

import java.util.List;

/** Told how a calibration goes on, in the calibrating thread; it returns quickly. */
public interface CalibrationListener {
  CalibrationListener NONE = progress -> {};

  void progressed(Progress progress);

  /** Something that the user should know although the calibration goes on. */
  default void warned(String message) {}

  /** What was done otherwise than one might expect, and what was read. */
  default void noted(String message) {}

  /**
   * What a calibration that has ended took, whatever the machine.
   *
   * @param forwardTokens that ran through the whole model; those that ran through some of its
   *     layers count in part
   * @param backwardTokens whose gradients went back through it
   */
  default void worked(long forwardTokens, long backwardTokens) {}

  /** The phases to come, in their order; a phase that is not named takes no time. */
  default void planned(List<Phase> phases) {}

  /** What is being done. */
  enum Phase {
    /** The unshared model runs the samples; {@code done} and {@code total} count samples. */
    CAPTURE,
    /** Pairs are ranked; {@code total} is 1. */
    RANK,
    /** Candidates are tested; {@code done} and {@code total} count ranked pairs. */
    SEARCH,
    /** Layers are scored; {@code done} and {@code total} count layers, forward and backward. */
    SCORE,
    /** Plans are repaired and judged; {@code done} and {@code total} count plans. */
    PLANS,
    /** Weights are refitted; {@code done} and {@code total} count layers. */
    REPAIR,
    /** Numbers in long texts are asked for; {@code done} and {@code total} count passages. */
    RECALL
  }

  /**
   * A moment of a calibration.
   *
   * @param phase what is being done
   * @param done how much of the phase is done
   * @param total how much there is at most: a search ends earlier when it reaches its size
   * @param sharedLayers layers that share in the best map so far
   * @param wantedLayers layers that are to share
   * @param similarity similarity of the best map so far, 1 while no layer shares
   * @param divergence mean KL divergence in nats of the best map when repaired, NaN where it is not
   *     measured
   */
  record Progress(
      Phase phase,
      int done,
      int total,
      int sharedLayers,
      int wantedLayers,
      double similarity,
      double divergence) {

    /** Before any map is accepted. */
    public static Progress of(Phase phase, int done, int total) {
      return new Progress(phase, done, total, 0, 0, 1, Double.NaN);
    }
  }
}
