package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
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
    int groups = sizes.keyValueHeads();
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.outputBias = config.bool("bias", true);
    model.outer =
        new Weights("")
            .matrix(WeightRole.EMBEDDING, "model.tok_embeddings", sizes.vocabulary(), hidden)
            .norm(WeightRole.FINAL_NORM, "model.norm", hidden);
    model.head = "output";
    model.attentionWeights =
        (weights, layer) -> {
          weights.linear(
              WeightRole.QUERY_KEY_VALUE,
              "attention.wqkv",
              sizes.queryRows() + 2L * sizes.keyValueRows(),
              hidden,
              model.outputBias,
              new Grouped(groups, sizes.queryHeads() / groups, sizes.headSize()));
          model.output(weights, "attention.wo");
        };
    model.feedForwardWeights =
        (weights, layer) ->
            weights
                .gateUp("feed_forward.w1", "feed_forward.w3", inner, hidden, false)
                .linear(WeightRole.DOWN, "feed_forward.w2", hidden, inner, false);
    model.normWeights = (weights, layer) -> model.norms(weights, "attention_norm", "ffn_norm");
    return model.build();
  }
}
