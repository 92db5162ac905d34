package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Activations;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ModelSpec.SpecBuilder;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.family.spec.Windows;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;

/**
 * Qwen 2 and 2.5: Llama with biases on queries, keys and values, and upper layers that may slide.
 */
final class Qwen2Family implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("qwen2");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    NormSpec norm = NormSpec.rms(config, 1e-6);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read());
    List<Integer> windows = Windows.above(config, sizes);
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights = LlamaNames.layer(layer);
      LlamaNames.norms(weights, sizes);
      LlamaNames.attention(weights, sizes, true, false);
      LlamaNames.gatedMlp(weights, sizes, inner, false);
      AttentionSpec ofLayer = attention.withWindow(windows.get(layer));
      spec.layer(new BlockSpec(ofLayer, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
