package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.AttentionSpec.SlidingWindows;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Experts;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;
import java.util.function.IntPredicate;

/** Qwen 2, 2.5 and 3, the last also with routed experts: Llama whose upper layers may slide. */
final class QwenFamily {
  private QwenFamily() {}

  private static final int QWEN3_HEAD_SIZE = 128;

  /** Biases on queries, keys and values. */
  static ModelSpec qwen2(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    AttentionSpec attention = LlamaFamily.rotated(config, sizes, 10_000);
    List<Integer> windows = windows(config, sizes);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.queryKeyValueBias = true;
    model.attention = layer -> attention.withWindow(windows.get(layer));
    return model.build();
  }

  /** Norms of queries and keys. */
  static ModelSpec qwen3(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config, QWEN3_HEAD_SIZE);
    AttentionSpec attention =
        LlamaFamily.rotated(config, sizes, 10_000).withQueryKeyNorm(QueryKeyNorm.PER_HEAD);
    List<Integer> windows = windows(config, sizes);
    LlamaFamily model = normed(config, sizes);
    model.attention = layer -> attention.withWindow(windows.get(layer));
    return model.build();
  }

  /** Routed experts in all layers or in some. */
  static ModelSpec qwen3Moe(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    AttentionSpec attention =
        LlamaFamily.rotated(config, sizes, 10_000)
            .withQueryKeyNorm(QueryKeyNorm.PER_HEAD)
            .withWindow(SlidingWindows.size(config, 4096, false));
    ConfigKeys.ignore(config, "max_window_layers");
    Activation activation = LlamaFamily.activation(config);
    FeedForwardSpec dense = FeedForwardSpec.gated(config.positive("intermediate_size"), activation);
    FeedForwardSpec routed =
        new FeedForwardSpec(
            config.positiveOr("moe_intermediate_size", 768),
            true,
            activation,
            new Experts(
                config.countOr(
                    config.has("num_local_experts") ? "num_local_experts" : "num_experts",
                    128,
                    Experts.MAX_COUNT),
                config.positiveOr("num_experts_per_tok", 8),
                config.bool("norm_topk_prob", false)));
    int step = config.positiveOr("decoder_sparse_step", 1);
    List<Integer> denseLayers = config.integers("mlp_only_layers");
    IntPredicate isRouted = layer -> !denseLayers.contains(layer) && (layer + 1) % step == 0;
    LlamaFamily model = normed(config, sizes);
    model.attention = layer -> attention;
    model.feedForward = layer -> isRouted.test(layer) ? routed : dense;
    model.feedForwardWeights =
        (weights, layer) -> {
          if (isRouted.test(layer)) {
            List<String> names = List.of("gate_proj", "up_proj", "down_proj");
            model.experts(weights, layer, tensors, "mlp", names);
          } else {
            model.gated(weights);
          }
        };
    return model.build();
  }

  /** Llama with norms of the queries and keys of each head. */
  private static LlamaFamily normed(ModelConfig config, Dimensions sizes) {
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.attentionBiases();
    model.attentionWeights =
        (weights, layer) -> {
          model.attention(weights);
          model.queryKeyNorms(weights, sizes.headSize(), sizes.headSize());
        };
    return model;
  }

  /** The window of each layer: those from {@code max_window_layers} on slide. */
  private static List<Integer> windows(ModelConfig config, Dimensions sizes) {
    int lowest = config.integer("max_window_layers", 28);
    int window = SlidingWindows.size(config, 4096, false);
    return SlidingWindows.read(config, sizes, window, layer -> layer >= lowest);
  }
}
