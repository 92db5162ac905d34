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
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** OLMo 2: norms behind each part only, queries and keys normalised over the whole projection. */
final class Olmo2Family implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("olmo2");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("attention_bias", false);
    NormSpec norm = NormSpec.rms(config, 1e-5);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read())
            .withQueryKeyNorm(QueryKeyNorm.WHOLE);
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          LlamaNames.layer(layer)
              .norm(WeightRole.QUERY_NORM, "self_attn.q_norm", sizes.queryRows())
              .norm(WeightRole.KEY_NORM, "self_attn.k_norm", sizes.keyValueRows())
              .norm(WeightRole.ATTENTION_POST_NORM, "post_attention_layernorm", sizes.hidden())
              .norm(
                  WeightRole.FEED_FORWARD_POST_NORM, "post_feedforward_layernorm", sizes.hidden());
      LlamaNames.attention(weights, sizes, biased, biased);
      LlamaNames.gatedMlp(weights, sizes, inner, false);
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.POST, 1, weights.build()));
    }
    return spec.build();
  }
}
