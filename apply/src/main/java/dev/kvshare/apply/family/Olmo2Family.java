package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** OLMo 2: norms behind each part only, queries and keys normalised over the whole projection. */
final class Olmo2Family {
  private Olmo2Family() {}

  static ModelSpec olmo2(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    boolean biased = config.bool("attention_bias", false);
    AttentionSpec attention =
        LlamaFamily.rotated(config, sizes, 10_000).withQueryKeyNorm(QueryKeyNorm.WHOLE);
    LlamaFamily model =
        new LlamaFamily(config, sizes)
            .norm(NormSpec.rms(config, 1e-5))
            .placement(Placement.POST)
            .biases(biased, biased, false)
            .attention(attention);
    return model
        .normWeights(
            (weights, layer) -> {
              model.queryKeyNorms(weights, sizes.queryRows(), sizes.keyValueRows());
              model.norm(weights, WeightRole.ATTENTION_POST_NORM, "post_attention_layernorm");
              model.norm(weights, WeightRole.FEED_FORWARD_POST_NORM, "post_feedforward_layernorm");
            })
        .build();
  }
}
