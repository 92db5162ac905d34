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
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/**
 * OPT: learned positions that begin at row 2; the 350M model has its norms behind the sums and an
 * embedding narrower than its layers.
 */
final class OptFamily {
  private static final int POSITION_OFFSET = 2;
  private static final double EPSILON = 1e-5;

  private OptFamily() {}

  static ModelSpec opt(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.withoutGroups(config);
    int inner = config.positive("ffn_dim");
    boolean biased = config.bool("enable_bias", true);
    boolean normBefore = config.bool("do_layer_norm_before", true);
    boolean finalNorm = normBefore && !config.bool("_remove_final_layer_norm", false);
    if (!config.bool("layer_norm_elementwise_affine", true)) {
      throw config.invalid("layer_norm_elementwise_affine", "norms with weights are expected");
    }
    ConfigKeys.ignore(config, "num_key_value_heads", "intermediate_size");
    NormSpec norm = new NormSpec(NormSpec.Kind.LAYER, EPSILON);
    AttentionSpec attention = AttentionSpec.usual(sizes, null);
    FeedForwardSpec feedForward =
        FeedForwardSpec.plain(
            inner, Activation.read(config, "activation_function", Activation.RELU));
    String prefix = tensors.contains("decoder.embed_tokens.weight") ? "decoder." : "model.decoder.";
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .positionOffset(POSITION_OFFSET)
            .finalNorm(finalNorm ? norm : null)
            .outer(outer(config, sizes, prefix, finalNorm));
    String first = "self_attn_layer_norm";
    String second = "final_layer_norm";
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          new Weights(prefix + "layers." + layer + ".")
              .queryKeyValue(
                  sizes, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", biased)
              .linear(
                  WeightRole.OUTPUT, "self_attn.out_proj", sizes.hidden(), sizes.hidden(), biased)
              .linear(WeightRole.GATE_UP, "fc1", inner, sizes.hidden(), biased)
              .linear(WeightRole.DOWN, "fc2", sizes.hidden(), inner, biased);
      if (normBefore) {
        weights
            .layerNorm(WeightRole.ATTENTION_NORM, first, sizes.hidden())
            .layerNorm(WeightRole.FEED_FORWARD_NORM, second, sizes.hidden());
      } else {
        weights
            .layerNorm(WeightRole.ATTENTION_POST_NORM, first, sizes.hidden())
            .layerNorm(WeightRole.FEED_FORWARD_POST_NORM, second, sizes.hidden());
      }
      Placement placement = normBefore ? Placement.PRE : Placement.AFTER_RESIDUAL;
      spec.layer(new BlockSpec(attention, feedForward, norm, placement, 1, weights.build()));
    }
    return spec.build();
  }

  private static Weights outer(
      ModelConfig config, Dimensions sizes, String prefix, boolean finalNorm) {
    int hidden = sizes.hidden();
    int narrow = config.positiveOr("word_embed_proj_dim", hidden);
    Weights outer =
        new Weights(prefix)
            .matrix(WeightRole.EMBEDDING, "embed_tokens", sizes.vocabulary(), narrow)
            .matrix(
                WeightRole.POSITIONS,
                "embed_positions",
                (long) sizes.maxPositions() + POSITION_OFFSET,
                hidden);
    if (finalNorm) {
      outer.layerNorm(WeightRole.FINAL_NORM, "final_layer_norm", hidden);
    }
    if (narrow != hidden) {
      outer
          .matrix(WeightRole.EMBEDDING_PROJECTION, "project_in", hidden, narrow)
          .matrix(WeightRole.HEAD_PROJECTION, "project_out", narrow, hidden);
    }
    if (!config.bool("tie_word_embeddings", true)) {
      outer.addAll(new Weights("").matrix(WeightRole.HEAD, "lm_head", sizes.vocabulary(), narrow));
    }
    return outer;
  }
}
