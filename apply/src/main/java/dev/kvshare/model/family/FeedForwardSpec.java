package dev.kvshare.model.family;

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
}
