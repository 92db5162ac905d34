package dev.kvshare.apply.decoder.weights;

/** Which weights of a decoder are in memory. */
public enum WeightResidency {
  /** All of them, from loading on. */
  ALL,
  /**
   * One layer at a time, read from the checkpoint whenever another one runs: for models larger than
   * memory. Of the embedding the rows that a text names, and the output head while it is needed.
   * The checkpoint stays open as long as the decoder. Results are those of {@link #ALL}.
   */
  ONE_LAYER
}
