package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import java.util.Set;

/**
 * Llama trained to share keys and values with the LCKV code (github.com/whyNLP/LCKV, {@code
 * LCKVLlamaConfig}): the layer-condensed KV cache (arXiv 2405.10637) and the configurations of "A
 * Systematic Study of Cross-Layer KV Sharing" (arXiv 2410.14442). Layers that read another one have
 * no key and value weights.
 *
 * <p>A window counts the current token, as in the eager and the scaled-dot-product attention of
 * that code; its flash attention sees one key more.
 */
final class LckvLlamaFamily {
  private LckvLlamaFamily() {}

  static ModelSpec lckvLlama(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    Plan plan = plan(config, sizes);
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.configuredBiases();
    model.plan = plan;
    model.attentionWeights =
        (weights, layer) -> {
          String key = model.prefix(layer) + "self_attn.k_proj.weight";
          if (plan.map().ownsCache(layer) || tensors.contains(key)) {
            model.attention(weights);
          } else {
            model.queriesAlone(weights);
          }
        };
    return model.build();
  }

  private static Plan plan(ModelConfig config, Dimensions sizes) {
    UpwardReading.Parallel usual = UpwardReading.LCKV_DEFAULT;
    int forward = notNegative(config, "forward_passes", usual.forwardPasses());
    int backward = notNegative(config, "backward_passes", usual.backwardPasses());
    int window = config.positiveOr("sliding_window", LayerTypes.DEFAULT_SLIDING_WINDOW);
    boolean sequential = config.bool("use_sequential", false);
    boolean hidesOwnToken = config.bool("force_nodiag", false);
    return layerTypes(config, sizes.layers())
        .plan(window, UpwardReading.lckv(forward, backward, sequential), hidesOwnToken);
  }

  private static LayerTypes layerTypes(ModelConfig config, int layers) {
    if (!config.has("layer_types")) {
      return LayerTypes.of(Plan.identity(layers));
    }
    LayerTypes types;
    try {
      types = LayerTypes.parse(config.string("layer_types"));
    } catch (IllegalArgumentException e) {
      throw config.invalid("layer_types", e.getMessage());
    }
    if (types.map().layers() != layers) {
      throw config.invalid(
          "layer_types", "one entry for each of the %d layers is expected".formatted(layers));
    }
    return types;
  }

  private static int notNegative(ModelConfig config, String key, int absent) {
    int value = config.integer(key, absent);
    if (value < 0) {
      throw config.invalid(key, "a whole number of at least 0 is expected");
    }
    return value;
  }
}
