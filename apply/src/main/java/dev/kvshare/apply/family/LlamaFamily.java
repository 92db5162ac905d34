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
import dev.kvshare.apply.plan.Plan;
import java.util.Set;

/** Llama 1 to 3 and what is built alike (SmolLM, TinyLlama, Yi, …). */
final class LlamaFamily implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("llama");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    return spec(config, tensors, sizes, Plan.identity(sizes.layers()));
  }

  /**
   * Llama whose layers share as {@code plan} says; those without a cache need no key and value
   * weights.
   */
  static ModelSpec spec(ModelConfig config, Set<String> tensors, Dimensions sizes, Plan plan) {
    int inner = config.positive("intermediate_size");
    boolean attentionBias = config.bool("attention_bias", false);
    boolean mlpBias = config.bool("mlp_bias", false);
    NormSpec norm = NormSpec.rms(config, 1e-6);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read());
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .plan(plan)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights = LlamaNames.layer(layer);
      LlamaNames.norms(weights, sizes);
      if (plan.map().ownsCache(layer) || tensors.contains(LlamaNames.key(layer))) {
        LlamaNames.attention(weights, sizes, attentionBias, attentionBias);
      } else {
        LlamaNames.queryAttention(weights, sizes, attentionBias);
      }
      LlamaNames.gatedMlp(weights, sizes, inner, mlpBias);
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
