package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

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

  /** Reads which layers see a sliding window only. */
  public static final class SlidingWindows {
    private static final String SLIDING = "sliding_attention";
    private static final String FULL = "full_attention";

    private SlidingWindows() {}

    /** The window of every layer, 0 for all positions; {@code layer_types} decides if there. */
    public static List<Integer> read(
        ModelConfig config, Dimensions sizes, int window, IntPredicate slidingWhereAbsent) {
      List<String> types = config.strings("layer_types");
      if (!types.isEmpty() && types.size() != sizes.layers()) {
        throw config.invalid(
            "layer_types", "one entry for each of the " + sizes.layers() + " layers is expected");
      }
      IntPredicate sliding =
          types.isEmpty() ? slidingWhereAbsent : layer -> isSliding(config, types.get(layer));
      return IntStream.range(0, sizes.layers())
          .mapToObj(layer -> sliding.test(layer) ? window : 0)
          .toList();
    }

    /**
     * {@code sliding_window}, 0 when it is null or {@code use_sliding_window} is false.
     *
     * @param windowWhereAbsent the window where the file does not have the key
     * @param usedWhereAbsent whether it is used where the file does not say
     */
    public static int size(ModelConfig config, int windowWhereAbsent, boolean usedWhereAbsent) {
      boolean present = config.json().has("sliding_window");
      int window = config.positiveOr("sliding_window", present ? 0 : windowWhereAbsent);
      return config.bool("use_sliding_window", usedWhereAbsent) ? window : 0;
    }

    private static boolean isSliding(ModelConfig config, String type) {
      return switch (type) {
        case SLIDING -> true;
        case FULL -> false;
        default ->
            throw config.unsupported(
                "layer_types", "but only " + SLIDING + " and " + FULL + " are computed");
      };
    }
  }
}
