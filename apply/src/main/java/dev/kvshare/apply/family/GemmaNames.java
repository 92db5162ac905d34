package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.Weights;

/** What Gemma 2 and 3 name alike. */
final class GemmaNames {

  private GemmaNames() {}

  /** A layer with norms before and behind each part. */
  static Weights layer(int layer, Dimensions sizes, int inner, boolean attentionBias) {
    Weights weights =
        LlamaNames.layer(layer)
            .norm(WeightRole.ATTENTION_NORM, "input_layernorm", sizes.hidden())
            .norm(WeightRole.ATTENTION_POST_NORM, "post_attention_layernorm", sizes.hidden())
            .norm(WeightRole.FEED_FORWARD_NORM, "pre_feedforward_layernorm", sizes.hidden())
            .norm(WeightRole.FEED_FORWARD_POST_NORM, "post_feedforward_layernorm", sizes.hidden());
    LlamaNames.attention(weights, sizes, attentionBias, attentionBias);
    return LlamaNames.gatedMlp(weights, sizes, inner, false);
  }
}
