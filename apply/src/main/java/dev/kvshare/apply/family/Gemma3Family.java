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
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.family.spec.Windows;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;

/**
 * Gemma 3, text only: Gemma 2 with norms of queries and keys instead of caps, five sliding layers
 * to a full one, and another rotary base for each of the two.
 */
final class Gemma3Family implements ModelFamily {
  private static final int HEAD_SIZE = 256;
  private static final int WINDOW = 4096;
  private static final int PATTERN = 6;

  @Override
  public Set<String> modelTypes() {
    return Set.of("gemma3_text");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config, HEAD_SIZE);
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("attention_bias", false);
    NormSpec norm = NormSpec.rmsOnePlus(config, 1e-6);
    int pattern = config.positiveOr("sliding_window_pattern", PATTERN);
    List<Integer> windows =
        Windows.read(
            config, sizes, Windows.size(config, WINDOW, true), layer -> (layer + 1) % pattern != 0);
    RotaryConfig rotary = new RotaryConfig(config, sizes, 1_000_000);
    RotarySpec full = rotary.read("full_attention");
    RotarySpec sliding = rotary.readLocal(config.number("rope_local_base_freq", 10_000));
    double scale = 1 / Math.sqrt(config.number("query_pre_attn_scalar", 256));
    double softCap = config.number("attn_logit_softcapping", 0);
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(
            inner, Activations.read(config, "hidden_activation", Activation.GELU_TANH));
    ConfigKeys.ignore(config, "hidden_act");
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .embeddingScale(Math.sqrt(sizes.hidden()))
            .finalNorm(norm)
            .logitSoftCap(config.number("final_logit_softcapping", 0))
            .outer(LlamaNames.outerWithNorm(config, sizes, true));
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          GemmaNames.layer(layer, sizes, inner, biased)
              .norm(WeightRole.QUERY_NORM, "self_attn.q_norm", sizes.headSize())
              .norm(WeightRole.KEY_NORM, "self_attn.k_norm", sizes.headSize());
      int window = windows.get(layer);
      AttentionSpec attention =
          AttentionSpec.usual(sizes, window == 0 ? full : sliding)
              .withScale(scale)
              .withSoftCap(softCap)
              .withWindow(window)
              .withQueryKeyNorm(QueryKeyNorm.PER_HEAD);
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.BOTH, 1, weights.build()));
    }
    return spec.build();
  }
}
