package dev.kvshare.apply.family.spec;

/**
 * The feed-forward part of one layer.
 *
 * @param intermediateSize F, that of one expert where there are experts
 * @param gated whether the activation of a gate multiplies the up projection
 * @param activation the activation
 * @param experts routing, null for a dense layer
 */
public record FeedForwardSpec(
    int intermediateSize, boolean gated, Activation activation, Experts experts) {

  /** The activation functions of the supported families. */
  public enum Activation {
    /** x * sigmoid(x). */
    SILU,
    /** Exact, by the error function. */
    GELU,
    /** Approximated by tanh ({@code gelu_new}, {@code gelu_pytorch_tanh}). */
    GELU_TANH,
    /** max(x, 0). */
    RELU
  }

  /**
   * Routed experts: a token goes to the {@code perToken} of {@code count} experts with the largest
   * router probability.
   *
   * @param normalised whether the chosen probabilities are divided by their sum
   */
  public record Experts(int count, int perToken, boolean normalised) {}

  /** A dense layer with a gate. */
  public static FeedForwardSpec gated(int intermediateSize, Activation activation) {
    return new FeedForwardSpec(intermediateSize, true, activation, null);
  }

  /** A dense layer without a gate. */
  public static FeedForwardSpec plain(int intermediateSize, Activation activation) {
    return new FeedForwardSpec(intermediateSize, false, activation, null);
  }

  /** A layer of experts, each with a gate. */
  public static FeedForwardSpec routed(
      int intermediateSize, Activation activation, Experts experts) {
    return new FeedForwardSpec(intermediateSize, true, activation, experts);
  }
}
