package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Activations;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ModelSpec.SpecBuilder;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/** StableLM 2: layer norms, a quarter of each head rotated, optionally parallel parts. */
final class StableLmFamily implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("stablelm");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("use_qkv_bias", false);
    boolean parallel = config.bool("use_parallel_residual", false);
    boolean normed = config.bool("qk_layernorm", false);
    ConfigKeys.expectOne(config, "rotary_scaling_factor");
    NormSpec norm = NormSpec.layer(config, "layer_norm_eps", 1e-5);
    RotarySpec rotary = new RotaryConfig(config, sizes, 10_000).withPartialFactor(0.25).read();
    AttentionSpec attention =
        AttentionSpec.usual(sizes, rotary)
            .withQueryKeyNorm(normed ? QueryKeyNorm.EACH_HEAD : QueryKeyNorm.NONE);
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(
                LlamaNames.outer(config, sizes, false)
                    .layerNorm(WeightRole.FINAL_NORM, "model.norm", sizes.hidden()));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          LlamaNames.layer(layer)
              .layerNorm(WeightRole.ATTENTION_NORM, "input_layernorm", sizes.hidden());
      if (!parallel) {
        weights.layerNorm(WeightRole.FEED_FORWARD_NORM, "post_attention_layernorm", sizes.hidden());
      }
      if (normed) {
        headNorms(weights, WeightRole.QUERY_NORM, "q_layernorm", sizes.queryHeads(), sizes);
        headNorms(weights, WeightRole.KEY_NORM, "k_layernorm", sizes.keyValueHeads(), sizes);
      }
      LlamaNames.attention(weights, sizes, biased, false);
      LlamaNames.gatedMlp(weights, sizes, inner, false);
      Placement placement = parallel ? Placement.PARALLEL : Placement.PRE;
      spec.layer(new BlockSpec(attention, feedForward, norm, placement, 1, weights.build()));
    }
    return spec.build();
  }

  private static void headNorms(
      Weights weights, WeightRole role, String name, int heads, Dimensions sizes) {
    List<WeightSpec.Part> parts =
        IntStream.range(0, heads)
            .mapToObj(head -> "self_attn." + name + ".norms." + head + ".weight")
            .map(tensor -> weights.part(tensor, sizes.headSize()))
            .toList();
    weights.put(role, List.of((long) heads, (long) sizes.headSize()), parts);
  }
}
