package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec.Transposed;
import dev.kvshare.apply.family.spec.WeightSpec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** GPT-2: learned positions, layer norms, biases everywhere, projections stored [in, out]. */
final class Gpt2Family {

  private Gpt2Family() {}

  static ModelSpec gpt2(ModelConfig config, Set<String> tensors) {
    int hidden = config.positive("n_embd");
    int heads = config.positive("n_head");
    if (hidden % heads != 0) {
      throw config.invalid("n_embd", "a multiple of n_head (" + heads + ") is expected");
    }
    Dimensions sizes =
        new Dimensions(
            config.positive("vocab_size"),
            hidden,
            config.count("n_layer", Dimensions.MAX_LAYERS),
            heads,
            heads,
            hidden / heads,
            config.positive("n_positions"));
    int inner = config.positiveOr("n_inner", 4 * hidden);
    FeedForwardSpec feedForward =
        FeedForwardSpec.plain(
            inner, Activation.read(config, "activation_function", Activation.GELU_TANH));
    double scale = config.bool("scale_attn_weights", true) ? 1 / Math.sqrt(sizes.headSize()) : 1;
    boolean scaledByLayer = config.bool("scale_attn_by_inverse_layer_idx", false);
    AttentionSpec attention = AttentionSpec.usual(sizes, null);
    ConfigKeys.ignore(
        config,
        "n_ctx",
        "reorder_and_upcast_attn",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj");
    String prefix = tensors.contains("wte.weight") ? "" : "transformer.";
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.tiedWhereAbsent = true;
    model.norm = NormSpec.layer(config, "layer_norm_epsilon", 1e-5);
    model.attention = layer -> attention.withScale(scale / (scaledByLayer ? layer + 1 : 1));
    model.feedForward = layer -> feedForward;
    model.outer =
        new Weights(prefix)
            .matrix(WeightRole.EMBEDDING, "wte", sizes.vocabulary(), hidden)
            .matrix(WeightRole.POSITIONS, "wpe", sizes.maxPositions(), hidden)
            .layerNorm(WeightRole.FINAL_NORM, "ln_f", hidden);
    model.layerPrefix = prefix + "h.";
    model.normWeights = (weights, layer) -> model.norms(weights, "ln_1", "ln_2");
    model.attentionWeights =
        (weights, layer) -> {
          transposed(weights, WeightRole.QUERY_KEY_VALUE, "attn.c_attn", 3L * hidden, hidden);
          transposed(weights, WeightRole.OUTPUT, "attn.c_proj", hidden, hidden);
        };
    model.feedForwardWeights =
        (weights, layer) -> {
          transposed(weights, WeightRole.GATE_UP, "mlp.c_fc", inner, hidden);
          transposed(weights, WeightRole.DOWN, "mlp.c_proj", hidden, inner);
        };
    return model.build();
  }

  private static void transposed(Weights weights, WeightRole role, String name, long out, long in) {
    weights.linear(role, name, out, in, true, new Transposed());
  }
}
