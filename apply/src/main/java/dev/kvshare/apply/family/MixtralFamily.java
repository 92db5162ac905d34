package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Activations;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Experts;
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

/** Mixtral: Mistral with routed experts in every layer. */
final class MixtralFamily implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("mixtral");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    NormSpec norm = NormSpec.rms(config, 1e-5);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 1_000_000).read())
            .withWindow(Windows.size(config, 0, true));
    Experts experts =
        new Experts(
            config.positiveOr("num_local_experts", 8),
            config.positiveOr("num_experts_per_tok", 2),
            true);
    FeedForwardSpec feedForward =
        FeedForwardSpec.routed(
            config.positive("intermediate_size"),
            Activations.read(config, "hidden_act", Activation.SILU),
            experts);
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      String prefix = "model.layers." + layer + ".";
      String block = tensors.contains(prefix + "mlp.gate.weight") ? "mlp" : "block_sparse_moe";
      Weights weights = LlamaNames.layer(layer);
      LlamaNames.norms(weights, sizes);
      LlamaNames.attention(weights, sizes, false, false);
      List<String> names = List.of("w1", "w3", "w2");
      ExpertNames.add(weights, tensors, prefix, block, names, feedForward, sizes.hidden());
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
