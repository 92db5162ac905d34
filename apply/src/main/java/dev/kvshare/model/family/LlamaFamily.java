package dev.kvshare.model.family;

import dev.kvshare.model.ModelConfig;
import dev.kvshare.model.family.AttentionSpec.QueryKeyNorm;
import dev.kvshare.model.family.BlockSpec.Placement;
import dev.kvshare.model.family.FeedForwardSpec.Activation;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Llama 1 to 3 and what is built alike (SmolLM, TinyLlama, Yi, …). */
final class LlamaFamily implements ModelFamily {

  @Override
  public Set<String> modelTypes() {
    return Set.of("llama");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    boolean attentionBias = config.bool("attention_bias", false);
    boolean mlpBias = config.bool("mlp_bias", false);
    NormSpec norm = new NormSpec(NormSpec.Kind.RMS, config.number("rms_norm_eps", 1e-6));
    RotarySpec rotary = new RotaryConfig(config, sizes, 10_000).read();
    AttentionSpec attention =
        new AttentionSpec(
            sizes.queryHeads(),
            sizes.keyValueHeads(),
            sizes.headSize(),
            sizes.usualScale(),
            0,
            0,
            rotary,
            QueryKeyNorm.NONE);
    FeedForwardSpec feedForward =
        new FeedForwardSpec(
            inner, true, Activations.read(config, "hidden_act", Activation.SILU), null);
    List<BlockSpec> blocks = new ArrayList<>();
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          new Weights("model.layers." + layer + ".")
              .norm(WeightRole.ATTENTION_NORM, "input_layernorm", sizes.hidden())
              .queryKeyValue(
                  sizes, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", attentionBias)
              .linear(
                  WeightRole.OUTPUT,
                  "self_attn.o_proj",
                  sizes.hidden(),
                  sizes.queryRows(),
                  attentionBias)
              .norm(WeightRole.FEED_FORWARD_NORM, "post_attention_layernorm", sizes.hidden())
              .gateUp("mlp.gate_proj", "mlp.up_proj", inner, sizes.hidden(), mlpBias)
              .linear(WeightRole.DOWN, "mlp.down_proj", sizes.hidden(), inner, mlpBias);
      blocks.add(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    Weights outer =
        new Weights("")
            .matrix(WeightRole.EMBEDDING, "model.embed_tokens", sizes.vocabulary(), sizes.hidden())
            .norm(WeightRole.FINAL_NORM, "model.norm", sizes.hidden());
    if (!config.bool("tie_word_embeddings", false)) {
      outer.matrix(WeightRole.HEAD, "lm_head", sizes.vocabulary(), sizes.hidden());
    }
    return new ModelSpec(
        config.modelType(),
        sizes.vocabulary(),
        sizes.hidden(),
        sizes.maxPositions(),
        1,
        0,
        norm,
        1,
        0,
        blocks,
        outer.build());
  }
}
