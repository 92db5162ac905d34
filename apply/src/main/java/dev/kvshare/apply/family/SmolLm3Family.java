package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.SlidingWindows;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/** SmolLM 3: Llama in which every fourth layer has no rotary embedding. */
final class SmolLm3Family {
  private SmolLm3Family() {}

  static ModelSpec smolLm3(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    AttentionSpec rotated = LlamaFamily.rotated(config, sizes, 2_000_000);
    AttentionSpec unrotated = AttentionSpec.usual(sizes, null);
    List<Integer> rotatedLayers = rotatedLayers(config, sizes);
    int window = SlidingWindows.size(config, 0, false);
    List<Integer> windows =
        SlidingWindows.read(config, sizes, window, layer -> rotatedLayers.get(layer) == 0);
    ConfigKeys.ignore(config, "max_window_layers");
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.tiedWhereAbsent = true;
    model.configuredBiases();
    model.attention =
        layer ->
            (rotatedLayers.get(layer) == 0 ? unrotated : rotated).withWindow(windows.get(layer));
    return model.build();
  }

  /** One entry a layer: 1 with rotary embedding, 0 without. */
  private static List<Integer> rotatedLayers(ModelConfig config, Dimensions sizes) {
    int interval = config.positiveOr("no_rope_layer_interval", 4);
    List<Integer> rotated = config.integers("no_rope_layers");
    if (rotated.isEmpty()) {
      return IntStream.rangeClosed(1, sizes.layers())
          .mapToObj(number -> number % interval == 0 ? 0 : 1)
          .toList();
    }
    if (rotated.size() != sizes.layers()) {
      throw config.invalid(
          "no_rope_layers", "one entry for each of the " + sizes.layers() + " layers is expected");
    }
    return rotated;
  }
}
