package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.ModelConfig;
import java.util.Map;

/**
 * One layer.
 *
 * @param norm kind of the layer's norms
 * @param placement where the norms stand
 * @param residualScale multiplies what each part adds to the residual stream
 * @param weights the tensors of the layer by role; which biases and norms exist is what stands here
 */
public record BlockSpec(
    AttentionSpec attention,
    FeedForwardSpec feedForward,
    NormSpec norm,
    Placement placement,
    double residualScale,
    Map<WeightRole, WeightSpec> weights) {

  /** Where the norms of a layer stand; x is the residual stream, A attention, F feed-forward. */
  public enum Placement {
    /** x += A(norm(x)); x += F(norm(x)) (Llama). */
    PRE,
    /** x += norm(A(x)); x += norm(F(x)) (OLMo 2). */
    POST,
    /** x += norm(A(norm(x))); x += norm(F(norm(x))) (Gemma 2). */
    BOTH,
    /** x += A(norm(x)) + F(norm'(x)) (GPT-NeoX); one norm serves both where there is one only. */
    PARALLEL,
    /** x = norm(x + A(x)); x = norm(x + F(x)) (OPT-350m). */
    AFTER_RESIDUAL
  }

  public BlockSpec {
    weights = Map.copyOf(weights);
  }

  /**
   * Whether the checkpoint has key and value weights of this layer; a layer that was trained to
   * read those of another one has a query projection alone.
   */
  public boolean makesKeysAndValues() {
    long rows = weights.get(WeightRole.QUERY_KEY_VALUE).shape().get(0);
    return rows > (long) attention.queryHeads() * attention.headSize();
  }

  /** A normalisation; {@code epsilon} is added to the mean square or variance before the root. */
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
      return of(Kind.RMS, config, "rms_norm_eps", epsilonWhereAbsent);
    }

    /** Layer norm with the epsilon under {@code key}. */
    public static NormSpec layer(ModelConfig config, String key, double epsilonWhereAbsent) {
      return of(Kind.LAYER, config, key, epsilonWhereAbsent);
    }

    /** A norm with the epsilon under {@code key}. */
    public static NormSpec of(Kind kind, ModelConfig config, String key, double whereAbsent) {
      double epsilon = config.number(key, whereAbsent);
      if (!(epsilon >= 0 && epsilon < 1)) {
        throw config.invalid(key, "a number of at least 0 and below 1 is expected");
      }
      return new NormSpec(kind, epsilon);
    }
  }

  /**
   * The feed-forward part of one layer.
   *
   * @param intermediateSize F, that of one expert where there are experts
   * @param gated whether the activation of a gate multiplies the up projection
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
      RELU;

      /** The activation under a key, {@code absent} where the file does not have it. */
      public static Activation read(ModelConfig config, String key, Activation absent) {
        String name = config.string(key, null);
        if (name == null) {
          return absent;
        }
        return switch (name) {
          case "silu", "swish" -> SILU;
          case "gelu" -> GELU;
          case "gelu_new", "gelu_fast", "gelu_pytorch_tanh" -> GELU_TANH;
          case "relu" -> RELU;
          default ->
              throw config.unsupported(
                  key,
                  "but one of silu, swish, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu is computed");
        };
      }
    }

    /**
     * Routed experts: a token goes to the {@code perToken} of {@code count} experts with the
     * largest router probability.
     *
     * @param normalised whether the chosen probabilities are divided by their sum
     */
    public record Experts(int count, int perToken, boolean normalised) {
      public static final int MAX_COUNT = 512;
    }

    /** A dense layer with a gate. */
    public static FeedForwardSpec gated(int intermediateSize, Activation activation) {
      return new FeedForwardSpec(intermediateSize, true, activation, null);
    }

    /** A dense layer without a gate. */
    public static FeedForwardSpec plain(int intermediateSize, Activation activation) {
      return new FeedForwardSpec(intermediateSize, false, activation, null);
    }
  }
}
