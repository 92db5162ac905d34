package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * The recorded tokenizers of {@code src/test/resources/tokenizers}; {@code
 * src/test/python/make_tokenizers.py} made them.
 *
 * @param ids for each text, without special tokens around it
 * @param idsWithSpecial for each text, with them
 * @param idsLiteral for each text, special tokens in it as ordinary text
 * @param decoded the decoding of {@code ids}
 * @param decodedWithoutSpecial the same, special tokens left out
 */
record TokenizerCases(
    List<String> texts,
    List<int[]> ids,
    List<int[]> idsWithSpecial,
    List<int[]> idsLiteral,
    List<String> decoded,
    List<String> decodedWithoutSpecial) {
  static final Path FOLDER = Path.of("src", "test", "resources", "tokenizers");
  private static final ObjectMapper JSON = new ObjectMapper();

  static Stream<String> names() {
    return Stream.of(
        "gpt-2",
        "smollm",
        "llama-bpe",
        "qwen2",
        "falcon",
        "deepseek-coder",
        "llama-spm",
        "gemma-spm");
  }

  static TokenizerCases read(String name) throws IOException {
    JsonNode cases = json(name, "cases.json");
    return new TokenizerCases(
        texts(JSON.readTree(FOLDER.resolve("texts.json").toFile())),
        ids(cases.get("ids")),
        ids(cases.get("ids_with_special")),
        ids(cases.get("ids_literal")),
        texts(cases.get("decoded")),
        texts(cases.get("decoded_without_special")));
  }

  static JsonNode json(String name, String file) throws IOException {
    return JSON.readTree(FOLDER.resolve(name).resolve(file).toFile());
  }

  /** A configuration with a model type and nothing else. */
  static ModelConfig config(String modelType) {
    ObjectNode json = JSON.createObjectNode().put("model_type", modelType);
    return new ModelConfig(Path.of("config.json"), json);
  }

  static List<String> texts(JsonNode array) {
    List<String> texts = new ArrayList<>();
    array.forEach(text -> texts.add(text.textValue()));
    return texts;
  }

  private static List<int[]> ids(JsonNode array) {
    List<int[]> ids = new ArrayList<>();
    for (JsonNode row : array) {
      int[] values = new int[row.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = row.get(i).intValue();
      }
      ids.add(values);
    }
    return ids;
  }
}
