package dev.kvshare.apply.family.spec;

/**
 * The attention of one layer. Letters: Hq query heads, Hkv key/value heads, D head size.
 *
 * @param queryHeads Hq, a multiple of Hkv
 * @param keyValueHeads Hkv
 * @param headSize D
 * @param scale multiplies the scores
 * @param softCap bounds the scores to (-softCap, softCap) by tanh; 0 for none
 * @param window keys that a query sees, itself included; 0 for all
 * @param rotary rotary embedding, null for none
 * @param queryKeyNorm normalisation of queries and keys before the rotation
 */
public record AttentionSpec(
    int queryHeads,
    int keyValueHeads,
    int headSize,
    double scale,
    double softCap,
    int window,
    RotarySpec rotary,
    QueryKeyNorm queryKeyNorm) {

  /** Where queries and keys are normalised. */
  public enum QueryKeyNorm {
    /** Not at all. */
    NONE,
    /** Over the head size, one weight for all heads (Qwen 3). */
    PER_HEAD,
    /** Over the head size, one weight for each head (StableLM 2 12B). */
    EACH_HEAD,
    /** Over the whole projection (OLMo 2). */
    WHOLE
  }

  /** Whether the cached keys and values of {@code other} have the same shape. */
  public boolean sameCacheShape(AttentionSpec other) {
    return keyValueHeads == other.keyValueHeads && headSize == other.headSize;
  }

  /** Scaled by 1 / sqrt(D), over all positions, without norms or caps. */
  public static AttentionSpec usual(Dimensions sizes, RotarySpec rotary) {
    return new AttentionSpec(
        sizes.queryHeads(),
        sizes.keyValueHeads(),
        sizes.headSize(),
        1 / Math.sqrt(sizes.headSize()),
        0,
        0,
        rotary,
        QueryKeyNorm.NONE);
  }

  public AttentionSpec withScale(double newScale) {
    return new AttentionSpec(
        queryHeads, keyValueHeads, headSize, newScale, softCap, window, rotary, queryKeyNorm);
  }

  public AttentionSpec withSoftCap(double newSoftCap) {
    return new AttentionSpec(
        queryHeads, keyValueHeads, headSize, scale, newSoftCap, window, rotary, queryKeyNorm);
  }

  public AttentionSpec withWindow(int newWindow) {
    return new AttentionSpec(
        queryHeads, keyValueHeads, headSize, scale, softCap, newWindow, rotary, queryKeyNorm);
  }

  public AttentionSpec withQueryKeyNorm(QueryKeyNorm newNorm) {
    return new AttentionSpec(
        queryHeads, keyValueHeads, headSize, scale, softCap, window, rotary, newNorm);
  }
}
