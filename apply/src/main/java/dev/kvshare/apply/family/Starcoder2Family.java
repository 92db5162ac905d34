package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.SlidingWindows;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** StarCoder 2: layer norms, biases everywhere, a plain feed-forward part, one window for all. */
final class Starcoder2Family {
  private Starcoder2Family() {}

  static ModelSpec starcoder2(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
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
    AttentionSpec attention = LlamaFamily.rotated(config, sizes, 10_000).withWindow(window);
    FeedForwardSpec feedForward =
        FeedForwardSpec.plain(
            config.positive("intermediate_size"),
            Activation.read(config, "hidden_act", Activation.GELU_TANH));
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.tiedWhereAbsent = true;
    model.norm = NormSpec.layer(config, "norm_epsilon", 1e-5);
    model.queryKeyValueBias = config.bool("use_bias", true);
    model.outputBias = model.queryKeyValueBias;
    model.feedForwardBias = model.queryKeyValueBias;
    model.attention = layer -> attention;
    model.feedForward = layer -> feedForward;
    model.feedForwardWeights = (weights, layer) -> model.plain(weights, "mlp.c_fc", "mlp.c_proj");
    return model.build();
  }
}
