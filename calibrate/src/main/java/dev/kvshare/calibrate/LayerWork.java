package dev.kvshare.calibrate;

/**
 * How much of the model a search ran; one evaluation is one layer on one sample.
 *
 * @param evaluations evaluations made, those of the unshared model included
 * @param withoutResuming evaluations if every candidate had run from the first layer
 */
public record LayerWork(long evaluations, long withoutResuming) {
  /** Evaluations that resuming at the first changed layer saved. */
  public long saved() {
    return withoutResuming - evaluations;
  }
}
