package dev.kvshare.apply.family.spec;

/**
 * What a tensor does. Layout of every projection is [out, in]. Letters as in {@link ModelSpec}.
 * {@code X_BIAS} is the bias of {@code X}, as long as its first axis.
 */
public enum WeightRole {
  /** Token embedding [V, E]. */
  EMBEDDING,
  /** From a narrower embedding to the layers [E, N]. */
  EMBEDDING_PROJECTION,
  /** Learned positions [P, E]. */
  POSITIONS,
  /** Final norm [E]. */
  FINAL_NORM,
  FINAL_NORM_BIAS,
  /** From the layers to a narrower head [N, E]. */
  HEAD_PROJECTION,
  /** Output head [V, E]; absent where it is the embedding. */
  HEAD,
  HEAD_BIAS,

  /** Norm before attention [E]. */
  ATTENTION_NORM,
  ATTENTION_NORM_BIAS,
  /** Norm behind attention [E]. */
  ATTENTION_POST_NORM,
  ATTENTION_POST_NORM_BIAS,
  /** Queries, then keys, then values [Hq*D + 2*Hkv*D, E]. */
  QUERY_KEY_VALUE,
  QUERY_KEY_VALUE_BIAS,
  /** Norm of the queries [D], [Hq, D] or [Hq*D]. */
  QUERY_NORM,
  /** Norm of the keys [D], [Hkv, D] or [Hkv*D]. */
  KEY_NORM,
  /** Output projection of attention [E, Hq*D]. */
  OUTPUT,
  OUTPUT_BIAS,

  /**
   * From the input of the queries to the output of attention [E, E]. No checkpoint has it: a policy
   * may add it to a layer that shares.
   */
  OWN_TOKEN,

  /** Norm before the feed-forward part [E]. */
  FEED_FORWARD_NORM,
  FEED_FORWARD_NORM_BIAS,
  /** Norm behind the feed-forward part [E]. */
  FEED_FORWARD_POST_NORM,
  FEED_FORWARD_POST_NORM_BIAS,
  /** Gate, then up [2*F, E]; up alone [F, E] where there is no gate. */
  GATE_UP,
  GATE_UP_BIAS,
  /** Down projection [E, F]. */
  DOWN,
  DOWN_BIAS,

  /** Router [X, E] of X experts. */
  ROUTER,
  /** Gate, then up of every expert [X*2*F, E]. */
  EXPERTS_GATE_UP,
  /** Down projections of every expert [X*E, F]. */
  EXPERTS_DOWN;

  public WeightRole bias() {
    return valueOf(name() + "_BIAS");
  }

  /** Whether it is the scale of a norm. */
  public boolean scalesNorm() {
    return name().endsWith("_NORM");
  }
}
