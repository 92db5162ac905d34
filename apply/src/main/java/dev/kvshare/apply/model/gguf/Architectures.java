package dev.kvshare.apply.model.gguf;

import static dev.kvshare.apply.model.gguf.Architecture.TensorTransform.INTERLEAVED_KEY_HEADS;
import static dev.kvshare.apply.model.gguf.Architecture.TensorTransform.INTERLEAVED_QUERY_HEADS;
import static dev.kvshare.apply.model.gguf.Architecture.TensorTransform.NONE;
import static dev.kvshare.apply.model.gguf.Architecture.TensorTransform.ONE_ADDED;
import static dev.kvshare.apply.model.gguf.Architecture.TensorTransform.STACKED_HEADS;
import static dev.kvshare.apply.model.gguf.Architecture.TensorTransform.TRANSPOSED;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.gguf.Architecture.Kind;
import dev.kvshare.apply.model.gguf.Architecture.TensorTransform;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The tables of the architectures: how the metadata keys and tensor names of llama.cpp become those
 * of the Hugging Face model.
 */
final class Architectures {
  /** The 27B model of each generation scales its scores by another size than that of a head. */
  private static final int LARGEST_GEMMA_2_LAYERS = 46;

  private static final int LARGEST_GEMMA_3_LAYERS = 62;

  private static final String WINDOW = ".attention.sliding_window";
  private static final String WINDOW_PATTERN = ".attention.sliding_window_pattern";

  private static final Map<String, Architecture> BY_NAME =
      Stream.of(
              gemma2(),
              gemma3(),
              gpt2(),
              granite(),
              llama("llama"),
              olmo2(),
              phi3(),
              qwen2(),
              qwen3(),
              stableLm(),
              starcoder2())
          .collect(
              Collectors.toMap(architecture -> architecture.name, architecture -> architecture));

  private Architectures() {}

  /** The table for a {@code general.architecture}; null when there is none. */
  static Architecture of(String name) {
    return BY_NAME.get(name);
  }

  /** The names that have a table, sorted. */
  static List<String> names() {
    return BY_NAME.keySet().stream().sorted().toList();
  }

  /** Llama 1 to 3, SmolLM2, Mistral and others of the same computation. */
  private static Architecture llama(String name) {
    return llamaLike(name)
        .biasFlag("attention_bias", "blk.0.attn_q.bias")
        .biasFlag("mlp_bias", "blk.0.ffn_gate.bias")
        .with(Architectures::norms, Architectures::interleavedAttention, Architectures::gatedMlp);
  }

  /** Granite: Llama with scaled embedding, residual stream, scores and logits. */
  private static Architecture granite() {
    return llama("granite")
        .key(Kind.OPTIONAL_NUMBER, "attention.scale", "attention_multiplier")
        .key(Kind.OPTIONAL_NUMBER, "embedding_scale", "embedding_multiplier")
        .key(Kind.OPTIONAL_NUMBER, "residual_scale", "residual_multiplier")
        .key(Kind.OPTIONAL_NUMBER, "logit_scale", "logits_scaling");
  }

  /** Qwen 2 and 2.5. */
  private static Architecture qwen2() {
    return llamaLike("qwen2")
        .with(Architectures::norms, Architectures::attention, Architectures::gatedMlp);
  }

  /** Qwen 3: norms of queries and keys. */
  private static Architecture qwen3() {
    return llamaLike("qwen3")
        .biasFlag("attention_bias", "blk.0.attn_q.bias")
        .with(
            Architectures::norms,
            Architectures::attention,
            Architectures::queryKeyNorms,
            Architectures::gatedMlp);
  }

  /** OLMo 2: norms behind each part, and of whole queries and keys. */
  private static Architecture olmo2() {
    return llamaLike("olmo2")
        .biasFlag("attention_bias", "blk.0.attn_q.bias")
        .with(Architectures::attention, Architectures::queryKeyNorms, Architectures::gatedMlp)
        .layer("post_attention_norm", "post_attention_layernorm")
        .layer("post_ffw_norm", "post_feedforward_layernorm");
  }

  /** Phi 3 and 4 mini: fused projections, LongRoPE. */
  private static Architecture phi3() {
    return llamaLike("phi3")
        .key(
            Kind.OPTIONAL_NATURAL,
            "rope.scaling.original_context_length",
            "original_max_position_embeddings")
        .derive(Architectures::slidingWindow)
        .with(Architectures::norms)
        .layer("attn_qkv", "self_attn.qkv_proj")
        .layer("attn_output", "self_attn.o_proj")
        .layer("ffn_up", "mlp.gate_up_proj")
        .layer("ffn_down", "mlp.down_proj");
  }

  /** StarCoder 2: layer norms, biases, a feed-forward part without gate. */
  private static Architecture starcoder2() {
    return usual("starcoder2", "starcoder2")
        .constant("hidden_act", "gelu_pytorch_tanh")
        .key(Kind.NUMBER, "attention.layer_norm_epsilon", "norm_epsilon")
        .biasFlag("use_bias", "blk.0.attn_q.bias")
        .derive(Architectures::slidingWindow)
        .with(Architectures::outer, Architectures::norms, Architectures::attention)
        .layer("ffn_up", "mlp.c_fc")
        .layer("ffn_down", "mlp.c_proj");
  }

  /** StableLM 2: layer norms, and with parallel parts only one of them a layer. */
  private static Architecture stableLm() {
    return usual("stablelm", "stablelm")
        .constant("hidden_act", "silu")
        .key(Kind.NUMBER, "attention.layer_norm_epsilon", "layer_norm_eps")
        .biasFlag("use_qkv_bias", "blk.0.attn_q.bias")
        .biasFlag("qk_layernorm", "blk.0.attn_q_norm.weight")
        .ignored("use_parallel_residual")
        .derive(
            // As in llama.cpp, the tensors decide and not the key, which older files have wrong.
            (contents, config) ->
                config.put("use_parallel_residual", !contents.hasTensor("blk.0.ffn_norm.weight")))
        .with(
            Architectures::outer,
            Architectures::norms,
            Architectures::attention,
            Architectures::gatedMlp)
        .layer("attn_q_norm", "self_attn.q_layernorm.norms.{}", STACKED_HEADS)
        .layer("attn_k_norm", "self_attn.k_layernorm.norms.{}", STACKED_HEADS);
  }

  /** GPT-2: learned positions, projections that Hugging Face stores [in, out]. */
  private static Architecture gpt2() {
    return new Architecture("gpt2")
        .constant("model_type", "gpt2")
        .constant("activation_function", "gelu_new")
        .key(Kind.NATURAL, "block_count", "n_layer")
        .key(Kind.NATURAL, "context_length", "n_positions")
        .key(Kind.NATURAL, "embedding_length", "n_embd")
        .key(Kind.NATURAL, "feed_forward_length", "n_inner")
        .key(Kind.NATURAL, "attention.head_count", "n_head")
        .key(Kind.NUMBER, "attention.layer_norm_epsilon", "layer_norm_epsilon")
        .ignored("vocab_size", "attention.head_count_kv")
        .tensor("token_embd", "transformer.wte")
        .tensor("position_embd", "transformer.wpe")
        .tensor("output_norm", "transformer.ln_f")
        .tensor("output", "lm_head")
        .tensor("blk.{}.attn_norm", "transformer.h.{}.ln_1")
        .tensor("blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", TRANSPOSED)
        .tensor("blk.{}.attn_output", "transformer.h.{}.attn.c_proj", TRANSPOSED)
        .tensor("blk.{}.ffn_norm", "transformer.h.{}.ln_2")
        .tensor("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", TRANSPOSED)
        .tensor("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", TRANSPOSED);
  }

  private static Architecture gemma2() {
    return gemma("gemma2", "gemma2", LARGEST_GEMMA_2_LAYERS)
        .key(Kind.NUMBER, "attn_logit_softcapping", "attn_logit_softcapping")
        .key(Kind.NUMBER, "final_logit_softcapping", "final_logit_softcapping");
  }

  private static Architecture gemma3() {
    return gemma("gemma3", "gemma3_text", LARGEST_GEMMA_3_LAYERS)
        .key(Kind.OPTIONAL_NUMBER, "final_logit_softcapping", "final_logit_softcapping")
        .key(Kind.OPTIONAL_NUMBER, "rope.freq_base_swa", "rope_local_base_freq")
        .ignored("mm.tokens_per_image")
        .layer("attn_q_norm", "self_attn.q_norm", ONE_ADDED)
        .layer("attn_k_norm", "self_attn.k_norm", ONE_ADDED);
  }

  /** Norms on both sides of each part, to whose weights the converter adds 1. */
  private static Architecture gemma(String name, String modelType, int largestLayers) {
    return usual(name, modelType)
        .constant("hidden_activation", "gelu_pytorch_tanh")
        .key(Kind.NUMBER, "attention.layer_norm_rms_epsilon", "rms_norm_eps")
        .derive(Architectures::slidingWindow)
        .derive((contents, config) -> scoreScale(config, largestLayers))
        .with(Architectures::attention, Architectures::gatedMlp)
        .tensor("token_embd", "model.embed_tokens")
        .tensor("output", "lm_head")
        .tensor("output_norm", "model.norm", ONE_ADDED)
        .layer("attn_norm", "input_layernorm", ONE_ADDED)
        .layer("post_attention_norm", "post_attention_layernorm", ONE_ADDED)
        .layer("ffn_norm", "pre_feedforward_layernorm", ONE_ADDED)
        .layer("post_ffw_norm", "post_feedforward_layernorm", ONE_ADDED);
  }

  /** The file does not have this key: llama.cpp knows it by the number of layers. */
  private static void scoreScale(ObjectNode config, int largestLayers) {
    int heads = config.path("num_attention_heads").asInt();
    boolean largest = config.path("num_hidden_layers").asInt() == largestLayers && heads > 0;
    int scalar = largest ? config.path("hidden_size").asInt() / heads : RotaryKeys.headSize(config);
    config.put("query_pre_attn_scalar", scalar);
  }

  /** SiLU, an RMS norm, the outer tensors of Llama. */
  private static Architecture llamaLike(String name) {
    return usual(name, name)
        .constant("hidden_act", "silu")
        .key(Kind.NUMBER, "attention.layer_norm_rms_epsilon", "rms_norm_eps")
        .with(Architectures::outer);
  }

  /** Embedding, final norm and head. */
  private static Architecture outer(Architecture table) {
    return table
        .tensor("token_embd", "model.embed_tokens")
        .tensor("output_norm", "model.norm")
        .tensor("output", "lm_head");
  }

  /** One norm before each part of a layer. */
  private static Architecture norms(Architecture table) {
    return table
        .layer("attn_norm", "input_layernorm")
        .layer("ffn_norm", "post_attention_layernorm");
  }

  /** Separate projections of queries, keys and values, stored as the model has them. */
  private static Architecture attention(Architecture table) {
    return attention(table, NONE, NONE);
  }

  /** The same with heads interleaved for llama.cpp's rotary embedding. */
  private static Architecture interleavedAttention(Architecture table) {
    return attention(table, INTERLEAVED_QUERY_HEADS, INTERLEAVED_KEY_HEADS);
  }

  private static Architecture attention(
      Architecture table, TensorTransform queries, TensorTransform keys) {
    return table
        .layer("attn_q", "self_attn.q_proj", queries)
        .layer("attn_k", "self_attn.k_proj", keys)
        .layer("attn_v", "self_attn.v_proj")
        .layer("attn_output", "self_attn.o_proj");
  }

  /** Norms of queries and keys. */
  private static Architecture queryKeyNorms(Architecture table) {
    return table.layer("attn_q_norm", "self_attn.q_norm").layer("attn_k_norm", "self_attn.k_norm");
  }

  /** A feed-forward part with a gate. */
  private static Architecture gatedMlp(Architecture table) {
    return table
        .layer("ffn_gate", "mlp.gate_proj")
        .layer("ffn_up", "mlp.up_proj")
        .layer("ffn_down", "mlp.down_proj");
  }

  /** A table with the keys of sizes and rotary embedding. */
  private static Architecture usual(String architecture, String modelType) {
    return new Architecture(architecture)
        .constant("model_type", modelType)
        .key(Kind.NATURAL, "block_count", "num_hidden_layers")
        .key(Kind.NATURAL, "context_length", "max_position_embeddings")
        .key(Kind.NATURAL, "embedding_length", "hidden_size")
        .key(Kind.NATURAL, "feed_forward_length", "intermediate_size")
        .key(Kind.NATURAL, "attention.head_count", "num_attention_heads")
        .key(Kind.OPTIONAL_NATURAL, "attention.head_count_kv", "num_key_value_heads")
        .key(Kind.OPTIONAL_NATURAL, "attention.key_length", "head_dim")
        .ignored("vocab_size", "tensor_data_layout", "rope.scaling.finetuned")
        .derive(Architectures::checkValueLength)
        .derive(RotaryKeys::derive);
  }

  /**
   * Adds {@code sliding_window}, where it is not 0, and {@code layer_types}: the pattern is a truth
   * value for each layer, or the length of a group of layers whose last one sees all positions.
   */
  private static void slidingWindow(GgufContents contents, ObjectNode config) {
    Metadata metadata = contents.metadata();
    Long window = metadata.natural(contents.architecture() + WINDOW);
    if (window != null && window > 0) {
      config.put("sliding_window", window);
    }
    String key = contents.architecture() + WINDOW_PATTERN;
    List<Boolean> sliding = new ArrayList<>();
    if (metadata.isArray(key)) {
      sliding.addAll(metadata.flags(key));
    } else if (metadata.has(key)) {
      Long group = metadata.natural(key);
      for (int layer = 0; layer < Translation.namedLayers(config); layer++) {
        sliding.add(group == null || group == 0 || layer % group < group - 1);
      }
    }
    if (!sliding.isEmpty()) {
      ArrayNode types = config.putArray("layer_types");
      sliding.forEach(slides -> types.add(slides ? "sliding_attention" : "full_attention"));
    }
  }

  private static void checkValueLength(GgufContents contents, ObjectNode config) {
    String key = contents.architecture() + ".attention.value_length";
    Long value = contents.uniform(key);
    if (value != null && config.has("head_dim") && value != config.get("head_dim").asLong()) {
      contents
          .problems()
          .unsupported(
              "key '%s' is %s, but values as long as the keys (%s) are computed"
                  .formatted(key, value, config.get("head_dim")));
    }
  }
}
