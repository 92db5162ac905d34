package dev.kvshare.model.family;

import dev.kvshare.model.ModelConfig;
import dev.kvshare.model.family.BlockSpec.Placement;
import dev.kvshare.model.family.FeedForwardSpec.Activation;
import dev.kvshare.policy.SharingPlan;
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
    return spec(config, tensors, sizes, SharingPlan.identity(sizes.layers()));
  }

  /**
   * Llama whose layers share as {@code plan} says; those without a cache need no key and value
   * weights.
   */
  static ModelSpec spec(
      ModelConfig config, Set<String> tensors, Dimensions sizes, SharingPlan plan) {
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
