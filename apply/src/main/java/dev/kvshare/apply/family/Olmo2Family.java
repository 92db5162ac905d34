package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** OLMo 2: norms behind each part only, queries and keys normalised over the whole projection. */
final class Olmo2Family {
  private Olmo2Family() {}

  static ModelSpec olmo2(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    AttentionSpec attention =
        LlamaFamily.rotated(config, sizes, 10_000).withQueryKeyNorm(QueryKeyNorm.WHOLE);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.norm = NormSpec.rms(config, 1e-5);
    model.placement = Placement.POST;
    model.attentionBiases();
    model.attention = layer -> attention;
    model.normWeights =
        (weights, layer) -> {
          model.queryKeyNorms(weights, sizes.queryRows(), sizes.keyValueRows());
          model.postNorms(weights, "post_attention_layernorm", "post_feedforward_layernorm");
        };
    return model.build();
  }
}
