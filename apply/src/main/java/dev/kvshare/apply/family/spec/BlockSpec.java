package dev.kvshare.apply.family.spec;

import java.util.Map;

/**
 * One layer.
 *
 * @param attention attention part
 * @param feedForward feed-forward part
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

  /** Copies the map. */
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
}
