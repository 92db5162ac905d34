package dev.kvshare.apply.family;

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
    return new LlamaFamily(config, sizes)
        .attention(LlamaFamily.rotated(config, sizes, 10_000).withWindow(window))
        .build();
  }

  static ModelSpec mixtral(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int window = SlidingWindows.size(config, 0, true);
    Experts experts =
        new Experts(
            config.positiveOr("num_local_experts", 8),
            config.positiveOr("num_experts_per_tok", 2),
            true);
    int inner = config.positive("intermediate_size");
    LlamaFamily model =
        new LlamaFamily(config, sizes)
            .norm(NormSpec.rms(config, 1e-5))
            .attention(LlamaFamily.rotated(config, sizes, 1_000_000).withWindow(window))
            .feedForward(FeedForwardSpec.routed(inner, LlamaFamily.activation(config), experts));
    return model
        .feedForwardWeights(
            (weights, layer) -> {
              String router = LlamaFamily.prefix(layer) + "mlp.gate.weight";
              String block = tensors.contains(router) ? "mlp" : "block_sparse_moe";
              model.experts(weights, layer, tensors, block, List.of("w1", "w3", "w2"));
            })
        .build();
  }
}
