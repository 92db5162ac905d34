package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.ModelConfig;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntPredicate;

/** Reads which layers see a sliding window only. */
public final class Windows {
  private static final String SLIDING = "sliding_attention";
  private static final String FULL = "full_attention";

  private Windows() {}

  /**
   * The window of every layer, 0 for all positions: by {@code layer_types} where the file has them.
   *
   * @param window the window of sliding layers; 0 when the model uses none
   * @param slidingWhereAbsent which layers slide where the file has no {@code layer_types}
   */
  public static List<Integer> read(
      ModelConfig config, Dimensions sizes, int window, IntPredicate slidingWhereAbsent) {
    List<String> types = config.strings("layer_types");
    if (!types.isEmpty() && types.size() != sizes.layers()) {
      throw config.invalid(
          "layer_types", "one entry for each of the " + sizes.layers() + " layers is expected");
    }
    List<Integer> windows = new ArrayList<>();
    for (int layer = 0; layer < sizes.layers(); layer++) {
      boolean sliding = slidingWhereAbsent.test(layer);
      if (!types.isEmpty()) {
        sliding = isSliding(config, types.get(layer));
      }
      windows.add(sliding ? window : 0);
    }
    return windows;
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

  /** The windows of Qwen: layers from {@code max_window_layers} on slide. */
  public static List<Integer> above(ModelConfig config, Dimensions sizes) {
    int lowest = config.integer("max_window_layers", 28);
    return read(config, sizes, size(config, 4096, false), layer -> layer >= lowest);
  }

  private static boolean isSliding(ModelConfig config, String type) {
    return switch (type) {
      case SLIDING -> true;
      case FULL -> false;
      default ->
          throw config.invalid("layer_types", "each entry must be " + SLIDING + " or " + FULL);
    };
  }
}
