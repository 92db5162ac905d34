package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.SlidingWindows;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Experts;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;

/**
 * Mistral, and Mixtral with routed experts: Llama without biases, every layer with the same sliding
 * window or none.
 */
final class MistralFamily {
  private MistralFamily() {}

  static ModelSpec mistral(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int window = SlidingWindows.size(config, 4096, true);
    AttentionSpec attention = LlamaFamily.rotated(config, sizes, 10_000).withWindow(window);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.attention = layer -> attention;
    return model.build();
  }

  static ModelSpec mixtral(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int window = SlidingWindows.size(config, 0, true);
    Experts experts =
        new Experts(
            config.countOr("num_local_experts", 8, Experts.MAX_COUNT),
            config.positiveOr("num_experts_per_tok", 2),
            true);
    FeedForwardSpec routed =
        new FeedForwardSpec(
            config.positive("intermediate_size"), true, LlamaFamily.activation(config), experts);
    AttentionSpec attention = LlamaFamily.rotated(config, sizes, 1_000_000).withWindow(window);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.norm = NormSpec.rms(config, 1e-5);
    model.attention = layer -> attention;
    model.feedForward = layer -> routed;
    model.feedForwardWeights =
        (weights, layer) -> {
          String router = model.prefix(layer) + "mlp.gate.weight";
          String block = tensors.contains(router) ? "mlp" : "block_sparse_moe";
          model.experts(weights, layer, tensors, block, List.of("w1", "w3", "w2"));
        };
    return model.build();
  }
}
