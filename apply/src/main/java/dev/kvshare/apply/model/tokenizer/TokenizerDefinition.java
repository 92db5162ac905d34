package dev.kvshare.apply.model.tokenizer;

import java.util.Map;
import java.util.Set;

/**
 * All that a tokenizer is made of, whatever kind of file it came from.
 *
 * @param json the vocabulary and its processing, with the wanted special tokens in its
 *     post-processor
 * @param specialTokens text of the special tokens by their Hugging Face names ({@code bos_token},
 *     {@code eos_token}, …)
 * @param eosIds the ids that end a generated text
 * @param chatTemplates sources of the chat templates by name; the usual one is {@code default}
 */
record TokenizerDefinition(
    TokenizerJson json,
    Map<String, String> specialTokens,
    Set<Integer> eosIds,
    Map<String, String> chatTemplates) {

  static final String BOS = "bos_token";
  static final String EOS = "eos_token";
  static final String DEFAULT_TEMPLATE = "default";

  TokenizerDefinition {
    specialTokens = Map.copyOf(specialTokens);
    eosIds = Set.copyOf(eosIds);
    chatTemplates = Map.copyOf(chatTemplates);
  }
}
