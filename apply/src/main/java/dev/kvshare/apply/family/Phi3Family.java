package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.AttentionSpec.SlidingWindows;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** Phi 3 and 4 mini: Llama with fused projections, LongRoPE and a part of each head rotated. */
final class Phi3Family {
  private Phi3Family() {}

  private static final int TRAINED_POSITIONS = 4096;

  static ModelSpec phi3(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int hidden = sizes.hidden();
    int inner = config.positive("intermediate_size");
    ConfigKeys.expectOne(config, "full_attn_mod");
    ConfigKeys.expectOne(config, "interpolate_factor");
    RotarySpec rotary =
        new RotaryConfig(config, sizes, 10_000)
            .withPartialFactor(1)
            .withLongRope(TRAINED_POSITIONS)
            .read();
    int window = SlidingWindows.size(config, 0, true);
    int queryKeyValueRows = sizes.queryRows() + 2 * sizes.keyValueRows();
    AttentionSpec attention = AttentionSpec.usual(sizes, rotary).withWindow(window);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.norm = NormSpec.rms(config, 1e-5);
    model.attention = layer -> attention;
    model.attentionWeights =
        (weights, layer) ->
            weights
                .matrix(WeightRole.QUERY_KEY_VALUE, "self_attn.qkv_proj", queryKeyValueRows, hidden)
                .matrix(WeightRole.OUTPUT, "self_attn.o_proj", hidden, sizes.queryRows());
    model.feedForwardWeights =
        (weights, layer) ->
            weights
                .matrix(WeightRole.GATE_UP, "mlp.gate_up_proj", 2L * inner, hidden)
                .matrix(WeightRole.DOWN, "mlp.down_proj", hidden, inner);
    return model.build();
  }
}
