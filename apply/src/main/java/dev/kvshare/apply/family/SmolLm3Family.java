package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Activations;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ModelSpec.SpecBuilder;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.family.spec.Windows;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/** SmolLM 3: Llama in which every fourth layer has no rotary embedding. */
final class SmolLm3Family implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("smollm3");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    boolean attentionBias = config.bool("attention_bias", false);
    boolean mlpBias = config.bool("mlp_bias", false);
    NormSpec norm = NormSpec.rms(config, 1e-6);
    RotarySpec rotary = new RotaryConfig(config, sizes, 2_000_000).read();
    List<Integer> rotated = rotatedLayers(config, sizes);
    List<Integer> windows =
        Windows.read(
            config, sizes, Windows.size(config, 0, false), layer -> rotated.get(layer) == 0);
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    ConfigKeys.ignore(config, "max_window_layers");
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, true));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights = LlamaNames.layer(layer);
      LlamaNames.norms(weights, sizes);
      LlamaNames.attention(weights, sizes, attentionBias, attentionBias);
      LlamaNames.gatedMlp(weights, sizes, inner, mlpBias);
      AttentionSpec attention =
          AttentionSpec.usual(sizes, rotated.get(layer) == 0 ? null : rotary)
              .withWindow(windows.get(layer));
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
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
