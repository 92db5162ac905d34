package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec.SlidingWindows;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** StarCoder 2: layer norms, biases everywhere, a plain feed-forward part, one window for all. */
final class Starcoder2Family {
  private Starcoder2Family() {}

  static ModelSpec starcoder2(ModelConfig config, Set<String> tensors) {
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
    int window = SlidingWindows.size(config, 0, true);
    Activation activation = Activation.read(config, "hidden_act", Activation.GELU_TANH);
    return new LlamaFamily(config, sizes)
        .tiedWhereAbsent()
        .norm(NormSpec.layer(config, "norm_epsilon", 1e-5))
        .biases(biased, biased, biased)
        .attention(LlamaFamily.rotated(config, sizes, 10_000).withWindow(window))
        .feedForward(FeedForwardSpec.plain(inner, activation))
        .feedForwardWeights(
            (weights, layer) ->
                weights
                    .linear(WeightRole.GATE_UP, "mlp.c_fc", inner, sizes.hidden(), biased)
                    .linear(WeightRole.DOWN, "mlp.c_proj", sizes.hidden(), inner, biased))
        .build();
  }
}
