package dev.kvshare.model.family;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.model.ModelConfig;
import java.util.Set;

/**
 * Refuses keys of a configuration that may change the computation and that the family has not read.
 * A key whose value is neutral (null, false, 0, empty) asks for nothing.
 */
final class ConfigKeys {
  /** Keys that say nothing about what a loaded model computes for a prompt. */
  private static final Set<String> HARMLESS =
      Set.of(
          "_attn_implementation",
          "_attn_implementation_autoset",
          "_name_or_path",
          "_sliding_window_pattern",
          "architectures",
          "attention_dropout",
          "attention_probs_dropout_prob",
          "attn_implementation",
          "attn_pdrop",
          "auto_map",
          "bos_token_id",
          "cache_implementation",
          "classifier_dropout",
          "dropout",
          "dtype",
          "embd_pdrop",
          "embedding_dropout",
          "eos_token_id",
          "gradient_checkpointing",
          "hidden_dropout",
          "id2label",
          "init_std",
          "initializer_factor",
          "initializer_range",
          "is_decoder",
          "is_llama_config",
          "label2id",
          "layerdrop",
          "max_length",
          "model_max_length",
          "model_type",
          "num_labels",
          "output_router_logits",
          "pad_token_id",
          "prefix",
          "pretraining_tp",
          "problem_type",
          "resid_pdrop",
          "residual_dropout",
          "rotary_dropout",
          "router_aux_loss_coef",
          "router_jitter_noise",
          "seq_length",
          "task_specific_params",
          "tokenizer_class",
          "torch_dtype",
          "transformers.js_config",
          "transformers_version",
          "unsloth_fixed",
          "unsloth_version",
          "use_cache");

  private ConfigKeys() {}

  /**
   * Refuses what was not read.
   *
   * @throws dev.kvshare.model.UnsupportedModelException naming the first such key and its value
   */
  static void refuseUnknown(ModelConfig config) {
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
  static double numberOrNull(ModelConfig config, String key, double absent) {
    return config.number(key, config.json().has(key) ? 0 : absent);
  }

  /** Refuses any other value than the one that the family computes. */
  static void expect(ModelConfig config, String key, String value) {
    if (!config.string(key, value).equals(value)) {
      throw config.invalid(key, "\"" + value + "\" is expected");
    }
  }

  /** Marks keys that the reference implementation of a family does not look at either. */
  static void ignore(ModelConfig config, String... keys) {
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
