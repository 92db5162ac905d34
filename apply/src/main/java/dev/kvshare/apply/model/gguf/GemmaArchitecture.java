package dev.kvshare.apply.model.gguf;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.gguf.Architecture.TensorTransform;

/** Gemma 2 and 3: norms on both sides of each part, to whose weights the converter adds 1. */
final class GemmaArchitecture {
  private GemmaArchitecture() {}

  /** The 27B model of each generation scales its scores by another size than that of a head. */
  private static final int LARGEST_GEMMA_2_LAYERS = 46;

  private static final int LARGEST_GEMMA_3_LAYERS = 62;

  static Architecture second() {
    return common("gemma2", "gemma2", LARGEST_GEMMA_2_LAYERS)
        .number("attn_logit_softcapping", "attn_logit_softcapping")
        .number("final_logit_softcapping", "final_logit_softcapping");
  }

  static Architecture third() {
    return common("gemma3", "gemma3_text", LARGEST_GEMMA_3_LAYERS)
        .optionalNumber("final_logit_softcapping", "final_logit_softcapping")
        .optionalNumber("rope.freq_base_swa", "rope_local_base_freq")
        .ignored("mm.tokens_per_image")
        .tensor("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm", TensorTransform.ONE_ADDED)
        .tensor(
            "blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm", TensorTransform.ONE_ADDED);
  }

  private static Architecture common(String name, String modelType, int largestLayers) {
    Architecture table =
        CommonKeys.of(name, modelType)
            .constant("hidden_activation", "gelu_pytorch_tanh")
            .number("attention.layer_norm_rms_epsilon", "rms_norm_eps")
            .derive(CommonKeys::slidingWindow)
            .derive((contents, config) -> scoreScale(config, largestLayers));
    LlamaNames.attention(table);
    LlamaNames.gatedMlp(table);
    return table
        .tensor("token_embd", "model.embed_tokens")
        .tensor("output", "lm_head")
        .tensor("output_norm", "model.norm", TensorTransform.ONE_ADDED)
        .tensor("blk.{}.attn_norm", "model.layers.{}.input_layernorm", TensorTransform.ONE_ADDED)
        .tensor(
            "blk.{}.post_attention_norm",
            "model.layers.{}.post_attention_layernorm",
            TensorTransform.ONE_ADDED)
        .tensor(
            "blk.{}.ffn_norm",
            "model.layers.{}.pre_feedforward_layernorm",
            TensorTransform.ONE_ADDED)
        .tensor(
            "blk.{}.post_ffw_norm",
            "model.layers.{}.post_feedforward_layernorm",
            TensorTransform.ONE_ADDED);
  }

  /** The file does not have this key: llama.cpp knows it by the number of layers. */
  private static void scoreScale(ObjectNode config, int largestLayers) {
    int heads = config.path("num_attention_heads").asInt();
    boolean largest = config.path("num_hidden_layers").asInt() == largestLayers && heads > 0;
    int scalar = largest ? config.path("hidden_size").asInt() / heads : RotaryKeys.headSize(config);
    config.put("query_pre_attn_scalar", scalar);
  }
}
