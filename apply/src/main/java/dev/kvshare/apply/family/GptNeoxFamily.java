package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
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
import dev.kvshare.apply.family.spec.WeightSpec.Grouped;
import dev.kvshare.apply.family.spec.WeightSpec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** GPT-NeoX and Pythia: parallel parts, query, key and value of each head stored together. */
final class GptNeoxFamily {

  private GptNeoxFamily() {}

  static ModelSpec gptNeox(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.withoutGroups(config);
    int hidden = sizes.hidden();
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("attention_bias", true);
    Placement placement =
        config.bool("use_parallel_residual", true) ? Placement.PARALLEL : Placement.PRE;
    NormSpec norm = NormSpec.layer(config, "layer_norm_eps", 1e-5);
    RotarySpec rotary =
        new RotaryConfig(config, sizes, config.number("rotary_emb_base", 10_000))
            .withPartialFactor(config.number("rotary_pct", 0.25))
            .read();
    AttentionSpec attention = AttentionSpec.usual(sizes, rotary);
    FeedForwardSpec feedForward =
        FeedForwardSpec.plain(inner, Activation.read(config, "hidden_act", Activation.GELU));
    ConfigKeys.ignore(config, "num_key_value_heads");
    Weights outer =
        new Weights("gpt_neox.")
            .matrix(WeightRole.EMBEDDING, "embed_in", sizes.vocabulary(), hidden)
            .layerNorm(WeightRole.FINAL_NORM, "final_layer_norm", hidden);
    if (!config.bool("tie_word_embeddings", false)) {
      outer.addAll(
          new Weights("").matrix(WeightRole.HEAD, "embed_out", sizes.vocabulary(), hidden));
    }
    SpecBuilder spec = new SpecBuilder(config, sizes).finalNorm(norm).outer(outer);
    Grouped headByHead = new Grouped(sizes.queryHeads(), 1, sizes.headSize());
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          new Weights("gpt_neox.layers." + layer + ".")
              .layerNorm(WeightRole.ATTENTION_NORM, "input_layernorm", hidden)
              .layerNorm(WeightRole.FEED_FORWARD_NORM, "post_attention_layernorm", hidden)
              .linear(
                  WeightRole.QUERY_KEY_VALUE,
                  "attention.query_key_value",
                  3L * hidden,
                  hidden,
                  biased,
                  headByHead,
                  headByHead)
              .linear(WeightRole.OUTPUT, "attention.dense", hidden, hidden, biased)
              .linear(WeightRole.GATE_UP, "mlp.dense_h_to_4h", inner, hidden, true)
              .linear(WeightRole.DOWN, "mlp.dense_4h_to_h", hidden, inner, true);
      spec.layer(new BlockSpec(attention, feedForward, norm, placement, 1, weights.build()));
    }
    return spec.build();
  }
}
