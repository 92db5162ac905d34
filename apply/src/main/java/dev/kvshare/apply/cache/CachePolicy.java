package dev.kvshare.apply.cache;

/**
 * An intra-layer compression of the KV cache: which tokens the layers that own a cache keep, and in
 * which number format. Goes with any sharing map.
 */
public sealed interface CachePolicy
    permits CachePolicy.WholeText,
        StreamingLlm,
        H2o,
        SnapKv,
        PyramidKv,
        IntegerKv,
        IntegerKv.WithEviction {

  /** The name by which a user asks for it. */
  String name();

  /** The method with its settings, for people. */
  String description();

  /**
   * What one owning layer keeps.
   *
   * @param rank its place among the owning layers, 0 for the lowest
   * @param owners how many layers own a cache
   * @param promptTokens tokens of the (longest) prompt
   * @throws IllegalArgumentException when the settings do not fit that prompt
   */
  KeepRule rule(int rank, int owners, int promptTokens);

  /**
   * Whether a token's position is its place among the kept ones, so that a text may outgrow the
   * positions that the model was made for.
   */
  default boolean endless() {
    return false;
  }

  /** The number format of keys and values. */
  default KeyValueFormat format() {
    return KeyValueFormat.COMPUTE_TYPE;
  }

  /** The number format of cached keys and values. */
  public enum KeyValueFormat {
    /** That of the decoder's activations. */
    COMPUTE_TYPE(0, false),
    /** 8-bit integers with a float32 scale for each token of each head. */
    INT8_PER_TOKEN(8, false),
    /**
     * 8-bit integers. Keys have a float32 scale for each channel of each head over {@link #GROUP}
     * tokens; a group that is not full yet is kept in the compute type. Values as per token.
     */
    INT8_PER_CHANNEL(8, true),
    /** 4-bit integers, two in a byte; scales as those of 8 bits. */
    INT4_PER_TOKEN(4, false),
    /** 4-bit integers, two in a byte; scales as those of 8 bits. */
    INT4_PER_CHANNEL(4, true);

    /** Tokens that share the scales of their channels. */
    public static final int GROUP = 32;

    private final int bits;
    private final boolean byChannel;

    KeyValueFormat(int bits, boolean byChannel) {
      this.bits = bits;
      this.byChannel = byChannel;
    }

    /** Bits of an integer, 0 for the compute type. */
    public int bits() {
      return bits;
    }

    /** Whether keys have a scale for each channel. */
    public boolean byChannel() {
      return byChannel;
    }
  }

  /**
   * Everything that some layer may still see. Only layers whose readers a sharing policy restricts
   * to windows drop what lies between the first and the last tokens, which changes no output;
   * without such windows nothing is dropped.
   */
  public record WholeText() implements CachePolicy {

    @Override
    public String name() {
      return "whole-text";
    }

    @Override
    public String description() {
      return "all tokens that some layer may still see";
    }

    @Override
    public KeepRule rule(int rank, int owners, int promptTokens) {
      return KeepRule.ALL;
    }
  }
}
