package dev.kvshare.model.family;

/**
 * A normalisation.
 *
 * @param kind what is computed
 * @param epsilon added to the mean square (or the variance) before the root
 */
public record NormSpec(Kind kind, double epsilon) {

  /** What a normalisation computes. */
  public enum Kind {
    /** Root mean square times the weight (Llama). */
    RMS,
    /**
     * Root mean square times one plus the weight (Gemma); the one is added to the weight at load.
     */
    RMS_ONE_PLUS,
    /** Mean and variance, with the weight and bias that the checkpoint has (GPT-2). */
    LAYER
  }
}
