package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Activations;
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
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.Weights;
import dev.kvshare.apply.family.spec.Windows;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** Phi 3 and 4 mini: Llama with fused projections, LongRoPE and a part of each head rotated. */
final class Phi3Family implements ModelFamily {
  private static final int TRAINED_POSITIONS = 4096;

  @Override
  public Set<String> modelTypes() {
    return Set.of("phi3");
  }

  @Override
  public ModelSpec spec(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    int inner = config.positive("intermediate_size");
    ConfigKeys.expectOne(config, "full_attn_mod");
    ConfigKeys.expectOne(config, "interpolate_factor");
    NormSpec norm = NormSpec.rms(config, 1e-5);
    RotarySpec rotary =
        new RotaryConfig(config, sizes, 10_000)
            .withPartialFactor(1)
            .withLongRope(TRAINED_POSITIONS)
            .read();
    AttentionSpec attention =
        AttentionSpec.usual(sizes, rotary).withWindow(Windows.size(config, 0, true));
    FeedForwardSpec feedForward =
        FeedForwardSpec.gated(inner, Activations.read(config, "hidden_act", Activation.SILU));
    SpecBuilder spec =
        new SpecBuilder(config, sizes)
            .finalNorm(norm)
            .outer(LlamaNames.outerWithNorm(config, sizes, false));
    int queryKeyValueRows = sizes.queryRows() + 2 * sizes.keyValueRows();
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights =
          LlamaNames.layer(layer)
              .matrix(
                  WeightRole.QUERY_KEY_VALUE,
                  "self_attn.qkv_proj",
                  queryKeyValueRows,
                  sizes.hidden())
              .matrix(WeightRole.OUTPUT, "self_attn.o_proj", sizes.hidden(), sizes.queryRows())
              .matrix(WeightRole.GATE_UP, "mlp.gate_up_proj", 2L * inner, sizes.hidden())
              .matrix(WeightRole.DOWN, "mlp.down_proj", sizes.hidden(), inner);
      LlamaNames.norms(weights, sizes);
      spec.layer(new BlockSpec(attention, feedForward, norm, Placement.PRE, 1, weights.build()));
    }
    return spec.build();
  }
}
