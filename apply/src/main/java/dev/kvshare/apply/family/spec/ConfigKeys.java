package dev.kvshare.apply.family.spec;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What becomes of keys of a configuration that the family has not read. A key that is known to
 * change the computation of some model is refused; any other is ignored, as transformers does, with
 * a warning. A key whose value is neutral (null, false, 0, empty) asks for nothing.
 */
public final class ConfigKeys {
  /** Keys that say nothing about what a loaded model computes for a prompt. */
  private static final Set<String> HARMLESS =
      Set.of(
          """
          _attn_implementation _attn_implementation_autoset _name_or_path _num_labels kvshare_policy
          _sliding_window_pattern activation_dropout architectures attention_dropout
          attention_probs_dropout_prob attn_implementation attn_pdrop auto_map
          begin_suppress_tokens bos_token_id cache_implementation chunk_size_feed_forward
          classifier_dropout cls_token_id decoder_start_token_id diversity_penalty do_sample
          dropout dtype early_stopping embd_pdrop embedding_dropout encoder_no_repeat_ngram_size
          eos_token_id finetuning_task forced_bos_token_id forced_eos_token_id
          gradient_checkpointing hidden_dropout id2label init_std initializer_factor
          initializer_range is_decoder is_llama_config label2id layerdrop length_penalty
          max_length max_sequence_length min_length model_max_length model_type
          no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences
          output_attentions output_hidden_states output_router_logits output_scores pad_token_id
          prefix pretraining_tp problem_type repetition_penalty resid_pdrop residual_dropout
          return_dict return_dict_in_generate rotary_dropout router_aux_loss_coef
          router_jitter_noise sep_token_id seq_length suppress_tokens task_specific_params
          temperature tokenizer_class top_k top_p torch_dtype torchscript transformers.js_config
          transformers_version typical_p unsloth_fixed unsloth_version use_bfloat16 use_cache
          """
              .strip()
              .split("\\s+", -1));

  /** Keys by which some model computes something else. */
  private static final Pattern COMPUTING =
      Pattern.compile(
          "quantization_config|compression_config|rope_interleaved|num_kv_shared_layers"
              + "|use_bidirectional_attention|add_cross_attention|cross_attention.*"
              + "|is_encoder_decoder|alibi|use_alibi|attention_chunk_size|clip_qkv"
              + "|use_qk_norm|qk_layernorm|logit_scale|logits_scaling|(lm_head|embedding|residual"
              + "|attention|key)_multiplier|.*_logit_softcapping|(num_local|n_routed|num)_experts"
              + "|moe_.*|(kv|q)_lora_rank|partial_rotary_factor|rotary_pct|parallel_attn"
              + "|no_rope_layers|attn_temperature_tuning|hidden_size_per_layer_input"
              + "|mlp_only_layers|layer_types|scale_emb|scale_depth|dim_model_base"
              + "|cla_share_factor|use_cla|attn_layer_.*|mamba_.*|ssm_.*|linear_.*|full_attention_.*"
              + "|block_type.*|layers_block_type|rotary_interleaved|rope_ratio|use_parallel_residual");

  private static final Logger LOGGER = LoggerFactory.getLogger(ConfigKeys.class);
  private static final Set<String> WARNED = ConcurrentHashMap.newKeySet();

  private ConfigKeys() {}

  /** Warns of keys that were not read, and refuses the first that changes the computation. */
  public static void refuseUnknown(ModelConfig config) {
    for (String key : config.unreadKeys()) {
      if (COMPUTING.matcher(key).matches() && !isNeutral(config.json().get(key))) {
        throw config.unsupported(
            key, "which changes what the model computes, and kvshare does not compute that");
      }
    }
    warnOfIgnored(config);
  }

  /** Warns of keys that were not read. */
  static void warnOfIgnored(ModelConfig config) {
    List<String> ignored =
        config.unreadKeys().stream()
            .filter(key -> !HARMLESS.contains(key) && !isNeutral(config.json().get(key)))
            .map(config::nameInFile)
            .toList();
    if (!ignored.isEmpty()) {
      warnOnce(
          "%s: kvshare ignores %s, as transformers does for this kind of model."
              .formatted(config.origin(), String.join(", ", ignored)));
    }
  }

  /** Warns once a process: a model is described several times in one run. */
  static void warnOnce(String message) {
    if (WARNED.add(message)) {
      LOGGER.warn(message);
    }
  }

  /**
   * A number that is 0 when the file says null, and {@code absent} when it does not have the key.
   */
  public static double numberOrNull(ModelConfig config, String key, double absent) {
    return config.number(key, config.json().has(key) ? 0 : absent);
  }

  /** Refuses any other factor than 1. */
  public static void expectOne(ModelConfig config, String key) {
    if (config.number(key, 1) != 1) {
      throw config.unsupported(key, "but only 1 is computed");
    }
  }

  /** Refuses any other value than the one that the family computes. */
  public static void expect(ModelConfig config, String key, String value) {
    if (!config.string(key, value).equals(value)) {
      throw config.unsupported(key, "but only \"" + value + "\" is computed");
    }
  }

  /** Marks keys that the reference implementation of a family does not look at either. */
  public static void ignore(ModelConfig config, String... keys) {
    for (String key : keys) {
      config.has(key);
    }
  }

  private static boolean isNeutral(JsonNode value) {
    return switch (value.getNodeType()) {
      case NULL, MISSING -> true;
      case BOOLEAN -> !value.booleanValue();
      case NUMBER -> value.doubleValue() == 0;
      case STRING -> value.textValue().isEmpty();
      default -> value.isEmpty();
    };
  }
}
