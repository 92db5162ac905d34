package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.ModelConfig;

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

  /** Root mean square with {@code rms_norm_eps}. */
  public static NormSpec rms(ModelConfig config, double epsilonWhereAbsent) {
    return new NormSpec(Kind.RMS, config.number("rms_norm_eps", epsilonWhereAbsent));
  }

  /** Gemma's root mean square with {@code rms_norm_eps}. */
  public static NormSpec rmsOnePlus(ModelConfig config, double epsilonWhereAbsent) {
    return new NormSpec(Kind.RMS_ONE_PLUS, config.number("rms_norm_eps", epsilonWhereAbsent));
  }

  /** Layer norm with the epsilon under {@code key}. */
  public static NormSpec layer(ModelConfig config, String key, double epsilonWhereAbsent) {
    return new NormSpec(Kind.LAYER, config.number(key, epsilonWhereAbsent));
  }
}
