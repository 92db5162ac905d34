package dev.kvshare.apply.cache;

/** The number format of cached keys and values. */
public enum KeyValueFormat {
  /** That of the decoder's activations. */
  COMPUTE_TYPE,
  /** 8-bit integers with a float32 scale for each token of each head. */
  INT8_PER_TOKEN,
  /**
   * 8-bit integers. Keys have a float32 scale for each channel of each head over {@link #GROUP}
   * tokens; a group that is not full yet is kept in the compute type. Values as per token.
   */
  INT8_PER_CHANNEL;

  /** Tokens that share the scales of their channels. */
  public static final int GROUP = 32;
}
