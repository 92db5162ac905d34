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
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** Granite: Llama with scaled embedding, residual stream, scores and logits. */
final class GraniteFamily implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("granite");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    boolean attentionBias = config.bool("attention_bias", false);
    boolean mlpBias = config.bool("mlp_bias", false);
    double residualScale = config.number("residual_multiplier", 1);
    NormSpec norm = NormSpec.rms(config, 1e-6);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read())
            .withScale(config.number("attention_multiplier", 1));
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .embeddingScale(config.number("embedding_multiplier", 1))
            .finalNorm(norm)
            .logitScale(1 / config.number("logits_scaling", 1))
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights = LlamaNames.layer(layer);
      LlamaNames.norms(weights, sizes);
      LlamaNames.attention(weights, sizes, attentionBias, attentionBias);
      LlamaNames.gatedMlp(weights, sizes, inner, mlpBias);
      spec.layer(
          new BlockSpec(
              attention, feedForward, norm, Placement.PRE, residualScale, weights.build()));
    }
    return spec.build();
  }
}
