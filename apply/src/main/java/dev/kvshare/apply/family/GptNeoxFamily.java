package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.RotaryConfig;
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
    FeedForwardSpec feedForward =
        FeedForwardSpec.plain(
            config.positive("intermediate_size"),
            Activation.read(config, "hidden_act", Activation.GELU));
    RotaryConfig rotary =
        new RotaryConfig(config, sizes, config.above0("rotary_emb_base", 10_000))
            .withPartialFactor(config.number("rotary_pct", 0.25));
    AttentionSpec attention = AttentionSpec.usual(sizes, rotary.read());
    ConfigKeys.ignore(config, "num_key_value_heads");
    boolean biased = config.bool("attention_bias", true);
    boolean parallel = config.bool("use_parallel_residual", true);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.norm = NormSpec.layer(config, "layer_norm_eps", 1e-5);
    model.placement = parallel ? Placement.PARALLEL : Placement.PRE;
    model.attention = layer -> attention;
    model.feedForward = layer -> feedForward;
    model.outputBias = biased;
    model.feedForwardBias = true;
    model.outer =
        new Weights("gpt_neox.")
            .matrix(WeightRole.EMBEDDING, "embed_in", sizes.vocabulary(), hidden)
            .layerNorm(WeightRole.FINAL_NORM, "final_layer_norm", hidden);
    model.head = "embed_out";
    model.layerPrefix = "gpt_neox.layers.";
    model.attentionWeights =
        (weights, layer) -> {
          weights.linear(
              WeightRole.QUERY_KEY_VALUE,
              "attention.query_key_value",
              3L * hidden,
              hidden,
              biased,
              new Grouped(sizes.queryHeads(), 1, sizes.headSize()));
          model.output(weights, "attention.dense");
        };
    model.feedForwardWeights =
        (weights, layer) -> model.plain(weights, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h");
    return model.build();
  }
}
