package dev.kvshare.apply.family.spec;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/**
 * Refuses keys of a configuration that may change the computation and that the family has not read.
 * A key whose value is neutral (null, false, 0, empty) asks for nothing.
 */
public final class ConfigKeys {
  /** Keys that say nothing about what a loaded model computes for a prompt. */
  private static final Set<String> HARMLESS =
      Set.of(
          """
          _attn_implementation _attn_implementation_autoset _name_or_path _num_labels
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

  private ConfigKeys() {}

  /** Refuses what was not read, naming the first such key and its value. */
  public static void refuseUnknown(ModelConfig config) {
    for (String key : config.unreadKeys()) {
      if (!HARMLESS.contains(key) && !isNeutral(config.json().get(key))) {
        throw config.invalid(
            key,
            "kvshare does not know this key for this kind of model, and it may change what the"
                + " model computes; expected is a file without it");
      }
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
      throw config.invalid(key, "1 is expected");
    }
  }

  /** Refuses any other value than the one that the family computes. */
  public static void expect(ModelConfig config, String key, String value) {
    if (!config.string(key, value).equals(value)) {
      throw config.invalid(key, "\"" + value + "\" is expected");
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
