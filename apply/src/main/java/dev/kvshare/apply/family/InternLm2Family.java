package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ModelSpec.SpecBuilder;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec.Grouped;
import dev.kvshare.apply.family.spec.WeightSpec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/**
 * InternLM 2 and 2.5: Llama whose fused {@code wqkv} holds, for each key/value head, its query
 * heads, the key head and the value head.
 */
final class InternLm2Family {

  private InternLm2Family() {}

  static ModelSpec internLm2(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int hidden = sizes.hidden();
    int inner = config.positive("intermediate_size");
    boolean biased = config.bool("bias", true);
    NormSpec norm = NormSpec.rms(config, 1e-6);
    AttentionSpec attention =
        AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, 10_000).read());
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activation.read(config, "hidden_act", Activation.SILU));
    Weights outer =
        new Weights("")
            .matrix(WeightRole.EMBEDDING, "model.tok_embeddings", sizes.vocabulary(), hidden)
            .norm(WeightRole.FINAL_NORM, "model.norm", hidden);
    if (!config.bool("tie_word_embeddings", false)) {
      outer.matrix(WeightRole.HEAD, "output", sizes.vocabulary(), hidden);
    }
    SpecBuilder spec = new SpecBuilder(config, sizes).finalNorm(norm).outer(outer);
    Grouped byKeyValueHead =
        new Grouped(
            sizes.keyValueHeads(), sizes.queryHeads() / sizes.keyValueHeads(), sizes.headSize());
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          new Weights(LlamaFamily.prefix(layer))
              .norm(WeightRole.ATTENTION_NORM, "attention_norm", hidden)
              .norm(WeightRole.FEED_FORWARD_NORM, "ffn_norm", hidden)
              .linear(
                  WeightRole.QUERY_KEY_VALUE,
                  "attention.wqkv",
                  sizes.queryRows() + 2L * sizes.keyValueRows(),
                  hidden,
                  biased,
                  byKeyValueHead,
                  byKeyValueHead)
              .linear(WeightRole.OUTPUT, "attention.wo", hidden, sizes.queryRows(), biased)
              .gateUp("feed_forward.w1", "feed_forward.w3", inner, hidden, false)
              .linear(WeightRole.DOWN, "feed_forward.w2", hidden, inner, false);
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
