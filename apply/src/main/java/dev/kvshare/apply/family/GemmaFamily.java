package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.AttentionSpec.SlidingWindows;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;

/**
 * Gemma 2 and 3, text only: norms on both sides of each part, a scaled embedding, sliding layers
 * between full ones.
 */
final class GemmaFamily {
  private GemmaFamily() {}

  private static final int HEAD_SIZE = 256;
  private static final int WINDOW = 4096;
  private static final int GEMMA3_PATTERN = 6;

  /** Capped scores and logits; every other layer slides. */
  static ModelSpec gemma2(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config, HEAD_SIZE);
    int window = SlidingWindows.size(config, WINDOW, true);
    List<Integer> windows = SlidingWindows.read(config, sizes, window, layer -> layer % 2 == 0);
    AttentionSpec attention =
        LlamaFamily.rotated(config, sizes, 10_000)
            .withScale(scale(config))
            .withSoftCap(ConfigKeys.numberOrNull(config, "attn_logit_softcapping", 50));
    ConfigKeys.ignore(config, "sliding_window_size");
    LlamaFamily model = gemma(config, sizes);
    model.attention = layer -> attention.withWindow(windows.get(layer));
    model.logitSoftCap = ConfigKeys.numberOrNull(config, "final_logit_softcapping", 30);
    return model.build();
  }

  /**
   * Norms of queries and keys instead of caps, five sliding layers to a full one, and another
   * rotary base for each of the two.
   */
  static ModelSpec gemma3(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config, HEAD_SIZE);
    int pattern = config.positiveOr("sliding_window_pattern", GEMMA3_PATTERN);
    int window = SlidingWindows.size(config, WINDOW, true);
    List<Integer> windows =
        SlidingWindows.read(config, sizes, window, layer -> (layer + 1) % pattern != 0);
    RotaryConfig rotary = new RotaryConfig(config, sizes, 1_000_000);
    RotarySpec full = rotary.read("full_attention");
    RotarySpec sliding = rotary.readLocal(config.above0("rope_local_base_freq", 10_000));
    double scale = scale(config);
    double softCap = config.number("attn_logit_softcapping", 0);
    LlamaFamily model = gemma(config, sizes);
    model.attention =
        layer ->
            AttentionSpec.usual(sizes, windows.get(layer) == 0 ? full : sliding)
                .withScale(scale)
                .withSoftCap(softCap)
                .withWindow(windows.get(layer))
                .withQueryKeyNorm(QueryKeyNorm.PER_HEAD);
    model.logitSoftCap = config.number("final_logit_softcapping", 0);
    model.attentionWeights =
        (weights, layer) -> {
          model.attention(weights);
          model.queryKeyNorms(weights, sizes.headSize(), sizes.headSize());
        };
    return model.build();
  }

  private static LlamaFamily gemma(ModelConfig config, Dimensions sizes) {
    LlamaFamily model = new LlamaFamily(config, sizes);
    Activation activation = Activation.read(config, "hidden_activation", Activation.GELU_TANH);
    FeedForwardSpec gated = FeedForwardSpec.gated(config.positive("intermediate_size"), activation);
    ConfigKeys.ignore(config, "hidden_act");
    model.tiedWhereAbsent = true;
    model.norm = NormSpec.of(NormSpec.Kind.RMS_ONE_PLUS, config, "rms_norm_eps", 1e-6);
    model.placement = Placement.BOTH;
    model.attentionBiases();
    model.feedForward = layer -> gated;
    model.embeddingScale = Math.sqrt(sizes.hidden());
    model.normWeights =
        (weights, layer) -> {
          model.norms(weights, "input_layernorm", "pre_feedforward_layernorm");
          model.postNorms(weights, "post_attention_layernorm", "post_feedforward_layernorm");
        };
    return model;
  }

  private static double scale(ModelConfig config) {
    return 1 / Math.sqrt(config.above0("query_pre_attn_scalar", 256));
  }
}
