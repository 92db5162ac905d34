package dev.kvshare.apply.export;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;

/**
 * The {@code config.json} of {@code LCKVLlamaConfig} (github.com/whyNLP/LCKV,
 * models/configuration_lckv.py), in the keys of the transformers release that this code runs with
 * (4.45).
 */
final class LckvConfig {
  private LckvConfig() {}

  /**
   * Turns a Llama configuration into one.
   *
   * @param attentionBias whether a repair adds biases to the projections of attention
   * @param mlpBias whether it adds biases to those of the feed-forward part
   */
  static ObjectNode of(ObjectNode llama, Plan plan, boolean attentionBias, boolean mlpBias) {
    ObjectNode config = llama.deepCopy();
    config.remove("auto_map");
    config.put("model_type", "lckv-llama");
    config.putArray("architectures").add("LCKVLlamaForCausalLM");
    olderKeys(config);
    config.put("layer_types", LayerTypes.of(plan).toString());
    UpwardReading.Parallel passes =
        plan.upward() instanceof UpwardReading.Parallel parallel
            ? parallel
            : UpwardReading.LCKV_DEFAULT;
    // That code always runs a backward pass.
    int backward = Math.max(1, passes.backwardPasses());
    config.put("forward_passes", passes.passes() - backward);
    config.put("backward_passes", backward);
    config.put(
        "sliding_window",
        plan.windowedLayers().isEmpty()
            ? LayerTypes.DEFAULT_SLIDING_WINDOW
            : plan.windows().last());
    config.put("use_sequential", plan.upward() instanceof UpwardReading.Sequential);
    config.put("force_nodiag", false);
    if (attentionBias) {
      config.put("attention_bias", true);
    }
    if (mlpBias) {
      config.put("mlp_bias", true);
    }
    return config;
  }

  /** Keys of transformers 5 in the words of 4.45. */
  private static void olderKeys(ObjectNode config) {
    JsonNode type = config.remove("dtype");
    if (type != null && !config.has("torch_dtype")) {
      config.set("torch_dtype", type);
    }
    if (config.remove("rope_parameters") instanceof ObjectNode rope) {
      JsonNode base = rope.remove("rope_theta");
      if (base != null) {
        config.set("rope_theta", base);
      }
      if (!rope.path("rope_type").asText("default").equals("default")) {
        config.set("rope_scaling", rope);
      }
    }
  }
}
