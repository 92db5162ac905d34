package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Activations;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
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

/** Qwen 3: Qwen 2 with norms of queries and keys instead of biases. */
final class Qwen3Family implements ModelFamily {
  private static final int HEAD_SIZE = 128;

  @Override
  public Set<String> modelTypes() {
    return Set.of("qwen3");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config, HEAD_SIZE);
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("attention_bias", false);
    NormSpec norm = NormSpec.rms(config, 1e-6);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read())
            .withQueryKeyNorm(QueryKeyNorm.PER_HEAD);
    List<Integer> windows = Windows.above(config, sizes);
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          LlamaNames.layer(layer)
              .norm(WeightRole.QUERY_NORM, "self_attn.q_norm", sizes.headSize())
              .norm(WeightRole.KEY_NORM, "self_attn.k_norm", sizes.headSize());
      LlamaNames.norms(weights, sizes);
      LlamaNames.attention(weights, sizes, biased, biased);
      LlamaNames.gatedMlp(weights, sizes, inner, false);
      AttentionSpec ofLayer = attention.withWindow(windows.get(layer));
      spec.layer(new BlockSpec(ofLayer, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
