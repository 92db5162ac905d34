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
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.family.spec.Windows;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;

/**
 * Gemma 2: norms on both sides of each part, capped scores and logits, every other layer slides.
 */
final class Gemma2Family implements ModelFamily {
  private static final int HEAD_SIZE = 256;
  private static final int WINDOW = 4096;

  @Override
  public Set<String> modelTypes() {
    return Set.of("gemma2");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config, HEAD_SIZE);
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("attention_bias", false);
    NormSpec norm = NormSpec.rmsOnePlus(config, 1e-6);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read())
            .withScale(1 / Math.sqrt(config.number("query_pre_attn_scalar", 256)))
            .withSoftCap(ConfigKeys.numberOrNull(config, "attn_logit_softcapping", 50));
    List<Integer> windows =
        Windows.read(config, sizes, Windows.size(config, WINDOW, true), layer -> layer % 2 == 0);
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(
            inner, Activations.read(config, "hidden_activation", Activation.GELU_TANH));
    ConfigKeys.ignore(config, "hidden_act", "sliding_window_size");
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .embeddingScale(Math.sqrt(sizes.hidden()))
            .finalNorm(norm)
            .logitSoftCap(ConfigKeys.numberOrNull(config, "final_logit_softcapping", 30))
            .outer(LlamaNames.outerWithNorm(config, sizes, true));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights = GemmaNames.layer(layer, sizes, inner, biased);
      AttentionSpec ofLayer = attention.withWindow(windows.get(layer));
      spec.layer(new BlockSpec(ofLayer, feedForward, norm, Placement.BOTH, 1, weights.build()));
    }
    return spec.build();
  }
}
