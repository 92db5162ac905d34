package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.model.tokenizer.Tokenizer.TokenizerDefinition;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** Writes the tokenizer of a GGUF file as a Hugging Face directory has it. */
public final class TokenizerExport {
  private TokenizerExport() {}

  /**
   * Writes {@code tokenizer.json}, {@code tokenizer_config.json}, {@code generation_config.json}
   * with the end tokens and, where there is a template, {@code chat_template.jinja}.
   *
   * @param config gives the vocabulary's size
   * @throws dev.kvshare.apply.model.CheckpointException.Tokenizer if its kind is not understood
   */
  public static void write(
      TokenizerSource.GgufTokenizer source, ModelConfig config, Path directory) {
    TokenizerDefinition definition = GgufTokenizers.read(source, config);
    ObjectNode settings = JsonNodeFactory.instance.objectNode();
    settings.put("tokenizer_class", "PreTrainedTokenizerFast");
    settings.put("clean_up_tokenization_spaces", false);
    new TreeMap<>(definition.specialTokens()).forEach(settings::put);
    ObjectNode generation = JsonNodeFactory.instance.objectNode();
    Integer bos =
        definition.json().id(definition.specialTokens().getOrDefault(TokenizerDefinition.BOS, ""));
    if (bos != null) {
      generation.put("bos_token_id", bos);
    }
    new TreeSet<>(definition.eosIds()).forEach(generation.putArray("eos_token_id")::add);
    Map<String, String> files = new TreeMap<>();
    files.put("tokenizer.json", definition.json().text());
    files.put("tokenizer_config.json", settings.toPrettyString());
    files.put("generation_config.json", generation.toPrettyString());
    if (source.chatTemplate() != null) {
      files.put("chat_template.jinja", source.chatTemplate());
    }
    files.forEach(
        (name, text) ->
            AtomicFile.write(
                directory.resolve(name), out -> out.write(text.getBytes(StandardCharsets.UTF_8))));
  }
}
