package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Activations;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Experts;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ModelSpec.SpecBuilder;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.family.spec.Windows;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;

/** Qwen 3 with routed experts, in all layers or in some. */
final class Qwen3MoeFamily implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("qwen3_moe");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    boolean biased = config.bool("attention_bias", false);
    NormSpec norm = NormSpec.rms(config, 1e-6);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read())
            .withQueryKeyNorm(QueryKeyNorm.PER_HEAD)
            .withWindow(Windows.size(config, 4096, false));
    ConfigKeys.ignore(config, "max_window_layers");
    Activation activation = Activations.read(config, "hidden_act", Activation.SILU);
    FeedForwardSpec dense = FeedForwardSpec.gated(config.positive("intermediate_size"), activation);
    FeedForwardSpec routed =
        FeedForwardSpec.routed(
            config.positiveOr("moe_intermediate_size", 768),
            activation,
            new Experts(
                config.positiveOr("num_local_experts", config.positiveOr("num_experts", 128)),
                config.positiveOr("num_experts_per_tok", 8),
                config.bool("norm_topk_prob", false)));
    int step = config.positiveOr("decoder_sparse_step", 1);
    List<Integer> denseLayers = config.integers("mlp_only_layers");
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      boolean isRouted = !denseLayers.contains(layer) && (layer + 1) % step == 0;
      FeedForwardSpec feedForward = isRouted ? routed : dense;
      Weights weights =
          LlamaNames.layer(layer)
              .norm(WeightRole.QUERY_NORM, "self_attn.q_norm", sizes.headSize())
              .norm(WeightRole.KEY_NORM, "self_attn.k_norm", sizes.headSize());
      LlamaNames.norms(weights, sizes);
      LlamaNames.attention(weights, sizes, biased, biased);
      if (isRouted) {
        String prefix = "model.layers." + layer + ".";
        List<String> names = List.of("gate_proj", "up_proj", "down_proj");
        ExpertNames.add(weights, tensors, prefix, "mlp", names, feedForward, sizes.hidden());
      } else {
        LlamaNames.gatedMlp(weights, sizes, dense.intermediateSize(), false);
      }
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
