package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
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
    boolean biased = config.bool("enable_bias", true);
    boolean normBefore = config.bool("do_layer_norm_before", true);
    if (!config.bool("layer_norm_elementwise_affine", true)) {
      throw config.unsupported(
          "layer_norm_elementwise_affine", "but only norms with weights are computed");
    }
    ConfigKeys.ignore(config, "num_key_value_heads", "intermediate_size");
    AttentionSpec attention = AttentionSpec.usual(sizes, null);
    FeedForwardSpec feedForward =
        FeedForwardSpec.plain(
            config.positive("ffn_dim"),
            Activation.read(config, "activation_function", Activation.RELU));
    String prefix = tensors.contains("decoder.embed_tokens.weight") ? "decoder." : "model.decoder.";
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.tiedWhereAbsent = true;
    model.positionOffset = POSITION_OFFSET;
    model.norm = new NormSpec(NormSpec.Kind.LAYER, EPSILON);
    model.hasFinalNorm = normBefore && !config.bool("_remove_final_layer_norm", false);
    model.placement = normBefore ? Placement.PRE : Placement.AFTER_RESIDUAL;
    model.outputBias = biased;
    model.feedForwardBias = biased;
    model.attention = layer -> attention;
    model.feedForward = layer -> feedForward;
    model.outer = outer(config, sizes, prefix, model.hasFinalNorm);
    model.layerPrefix = prefix + "layers.";
    model.attentionWeights =
        (weights, layer) -> {
          weights.queryKeyValue(
              sizes, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", biased);
          model.output(weights, "self_attn.out_proj");
        };
    model.feedForwardWeights = (weights, layer) -> model.plain(weights, "fc1", "fc2");
    String first = "self_attn_layer_norm";
    String second = "final_layer_norm";
    model.normWeights =
        normBefore
            ? (weights, layer) -> model.norms(weights, first, second)
            : (weights, layer) -> model.postNorms(weights, first, second);
    return model.build();
  }

  private static Weights outer(
      ModelConfig config, Dimensions sizes, String prefix, boolean finalNorm) {
    int hidden = sizes.hidden();
    int narrow = config.positiveOr("word_embed_proj_dim", hidden);
    long positions = (long) sizes.maxPositions() + POSITION_OFFSET;
    Weights outer =
        new Weights(prefix)
            .matrix(WeightRole.EMBEDDING, "embed_tokens", sizes.vocabulary(), narrow)
            .matrix(WeightRole.POSITIONS, "embed_positions", positions, hidden);
    if (finalNorm) {
      outer.layerNorm(WeightRole.FINAL_NORM, "final_layer_norm", hidden);
    }
    if (narrow != hidden) {
      outer
          .matrix(WeightRole.EMBEDDING_PROJECTION, "project_in", hidden, narrow)
          .matrix(WeightRole.HEAD_PROJECTION, "project_out", narrow, hidden);
    }
    return outer;
  }
}
