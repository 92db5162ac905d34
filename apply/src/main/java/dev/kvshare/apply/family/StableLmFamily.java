package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec.Part;
import dev.kvshare.apply.family.spec.WeightSpec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/** StableLM 2: layer norms, a quarter of each head rotated, optionally parallel parts. */
final class StableLmFamily {
  private StableLmFamily() {}

  static ModelSpec stableLm(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    boolean parallel = config.bool("use_parallel_residual", false);
    boolean normed = config.bool("qk_layernorm", false);
    ConfigKeys.expectOne(config, "rotary_scaling_factor");
    RotarySpec rotary = new RotaryConfig(config, sizes, 10_000).withPartialFactor(0.25).read();
    AttentionSpec attention =
        AttentionSpec.usual(sizes, rotary)
            .withQueryKeyNorm(normed ? QueryKeyNorm.EACH_HEAD : QueryKeyNorm.NONE);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.norm = NormSpec.layer(config, "layer_norm_eps", 1e-5);
    model.placement = parallel ? Placement.PARALLEL : Placement.PRE;
    model.queryKeyValueBias = config.bool("use_qkv_bias", false);
    model.attention = layer -> attention;
    model.normWeights =
        (weights, layer) -> {
          model.norm(weights, WeightRole.ATTENTION_NORM, "input_layernorm");
          if (!parallel) {
            model.norm(weights, WeightRole.FEED_FORWARD_NORM, "post_attention_layernorm");
          }
          if (normed) {
            headNorms(weights, WeightRole.QUERY_NORM, "q_layernorm", sizes.queryHeads(), sizes);
            headNorms(weights, WeightRole.KEY_NORM, "k_layernorm", sizes.keyValueHeads(), sizes);
          }
        };
    return model.build();
  }

  private static void headNorms(
      Weights weights, WeightRole role, String name, int heads, Dimensions sizes) {
    List<Part> parts =
        IntStream.range(0, heads)
            .mapToObj(head -> "self_attn." + name + ".norms." + head + ".weight")
            .map(tensor -> weights.part(tensor, sizes.headSize()))
            .toList();
    weights.put(role, List.of((long) heads, (long) sizes.headSize()), parts);
  }
}
