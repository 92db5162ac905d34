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
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.family.spec.Windows;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** StarCoder 2: layer norms, biases everywhere, a plain feed-forward part, one window for all. */
final class Starcoder2Family implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("starcoder2");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("use_bias", true);
    ConfigKeys.expect(config, "mlp_type", "default");
    ConfigKeys.expect(config, "norm_type", "layer_norm");
    ConfigKeys.ignore(
        config,
        "activation_function",
        "attention_softmax_in_fp32",
        "layer_norm_epsilon",
        "scale_attention_softmax_in_fp32",
        "scale_attn_weights");
    NormSpec norm = NormSpec.layer(config, "norm_epsilon", 1e-5);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read())
            .withWindow(Windows.size(config, 0, true));
    FeedForwardSpec feedForward =
        FeedForwardSpec.plain(inner, Activations.read(config, "hidden_act", Activation.GELU_TANH));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(
                LlamaNames.outer(config, sizes, true)
                    .layerNorm(WeightRole.FINAL_NORM, "model.norm", sizes.hidden()));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          LlamaNames.layer(layer)
              .linear(WeightRole.GATE_UP, "mlp.c_fc", inner, sizes.hidden(), biased)
              .linear(WeightRole.DOWN, "mlp.c_proj", sizes.hidden(), inner, biased);
      LlamaNames.layerNorms(weights, sizes);
      LlamaNames.attention(weights, sizes, biased, biased);
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
