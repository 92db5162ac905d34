package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.model.tokenizer.Tokenizer.TokenizerDefinition;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * Reads the tokenizer of a Hugging Face directory: {@code tokenizer.json}, {@code
 * tokenizer_config.json}, {@code special_tokens_map.json}, {@code chat_template.jinja} and {@code
 * generation_config.json}; all but the first may be missing.
 */
final class TokenizerFiles {
  private static final List<String> SPECIAL_TOKENS =
      List.of(
          "bos_token eos_token unk_token pad_token sep_token cls_token mask_token".split(" ", -1));

  private static final String SETTINGS = "tokenizer_config.json";
  private static final String END_TOKENS = "eos_token_id";

  private TokenizerFiles() {}

  static TokenizerDefinition read(Path directory, ModelConfig config) {
    Path file = directory.resolve("tokenizer.json");
    if (!Files.isRegularFile(file)) {
      throw new CheckpointException.Tokenizer(
          "%s has no tokenizer.json. Save it there with transformers' AutoTokenizer, or work with token ids, which need no tokenizer."
              .formatted(directory));
    }
    TokenizerJson json = TokenizerJson.read(file);
    if (config.contains("vocab_size")) {
      TokenizerJsonRules.checkModelSize(json, config.integer("vocab_size"));
    }
    ObjectNode settings = readIfPresent(directory.resolve(SETTINGS));
    ObjectNode specialMap = readIfPresent(directory.resolve("special_tokens_map.json"));
    Map<String, String> specialTokens = new HashMap<>();
    for (String name : SPECIAL_TOKENS) {
      String token = tokenText(settings.has(name) ? settings.get(name) : specialMap.path(name));
      if (token != null) {
        specialTokens.put(name, token);
      }
    }
    Set<Integer> eosIds = new TreeSet<>(endTokens(directory, config));
    Integer eos = json.id(specialTokens.getOrDefault(TokenizerDefinition.EOS, ""));
    if (eos != null) {
      eosIds.add(eos);
    }
    return new TokenizerDefinition(
        withAdditions(json, settings),
        specialTokens,
        eosIds,
        chatTemplates(directory, settings, specialTokens));
  }

  /**
   * What is added around a text. As in transformers 5, {@code tokenizer.json} says that, and {@code
   * add_bos_token} and {@code add_eos_token} are not looked at; its class for GPT-NeoX adds
   * nothing.
   */
  private static TokenizerJson withAdditions(TokenizerJson json, ObjectNode settings) {
    return settings.path("tokenizer_class").asText().startsWith("GPTNeoXTokenizer")
        ? json.withAddedTokens(null, null)
        : json;
  }

  private static Map<String, ChatTemplate> chatTemplates(
      Path directory, ObjectNode settings, Map<String, String> specialTokens) {
    Map<String, ChatTemplate> templates = new LinkedHashMap<>();
    Path settingsFile = directory.resolve(SETTINGS);
    JsonNode configured = settings.path("chat_template");
    if (configured.isTextual()) {
      templates.put(
          TokenizerDefinition.DEFAULT_TEMPLATE,
          new ChatTemplate(settingsFile, configured.textValue(), specialTokens));
    }
    for (JsonNode named : configured) {
      templates.put(
          named.path("name").asText(),
          new ChatTemplate(settingsFile, named.path("template").asText(), specialTokens));
    }
    Path file = directory.resolve("chat_template.jinja");
    if (Files.isRegularFile(file)) {
      try {
        templates.put(
            TokenizerDefinition.DEFAULT_TEMPLATE,
            new ChatTemplate(file, Files.readString(file, StandardCharsets.UTF_8), specialTokens));
      } catch (IOException e) {
        throw new UncheckedIOException(file + " cannot be read: " + e.getMessage(), e);
      }
    }
    return templates;
  }

  /** A token is given as its text or as an object that describes an added token. */
  private static String tokenText(JsonNode node) {
    return node.isObject() ? node.path("content").textValue() : node.textValue();
  }

  private static ObjectNode readIfPresent(Path file) {
    return Files.isRegularFile(file)
        ? JsonFiles.readObject(file)
        : JsonNodeFactory.instance.objectNode();
  }

  static Set<Integer> endTokens(Path location, ModelConfig config) {
    Path file = location.resolve("generation_config.json");
    Set<Integer> ids = new TreeSet<>();
    if (Files.isRegularFile(file)) {
      add(JsonFiles.readObject(file).path(END_TOKENS), file, ids);
    }
    if (ids.isEmpty()) {
      add(config.json().path(END_TOKENS), config.origin(), ids);
    }
    return Collections.unmodifiableSet(ids);
  }

  private static void add(JsonNode value, Path file, Set<Integer> ids) {
    if (value.isArray()) {
      value.forEach(id -> add(id, file, ids));
    } else if (value.isInt() && value.intValue() >= 0) {
      ids.add(value.intValue());
    } else if (!value.isMissingNode() && !value.isNull()) {
      throw new CheckpointException.Tokenizer(
          "%s: the key '%s' is %s, expected a token id or a list of token ids. Correct the file or download the model again."
              .formatted(file, END_TOKENS, value));
    }
  }
}
