package dev.kvshare.apply.model.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** One defect a case in a tokenizer.json that is otherwise right. */
class BadTokenizerTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;

  record Defect(String name, Consumer<ObjectNode> make, List<String> fragments) {
    static Defect of(String name, Consumer<ObjectNode> make, String... fragments) {
      return new Defect(name, make, List.of(fragments));
    }

    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Defect> defects() {
    return Stream.of(
        Defect.of("version", root -> root.put("version", "2.0"), "version is \"2.0\""),
        Defect.of("no version", root -> root.remove("version"), "version is"),
        Defect.of("no model", root -> root.remove("model"), "model.vocab is missing"),
        Defect.of("model kind", root -> model(root).put("type", "Magic"), "\"Magic\"", "BPE"),
        Defect.of(
            "pre-tokenizer kind",
            root -> root.putObject("pre_tokenizer").put("type", "Magic"),
            "pre_tokenizer.type 'Magic'"),
        Defect.of(
            "nested kind",
            root ->
                root.putObject("pre_tokenizer")
                    .put("type", "Sequence")
                    .putArray("pretokenizers")
                    .addObject()
                    .put("type", "Magic"),
            "pre_tokenizer.pretokenizers[0].type 'Magic'"),
        Defect.of(
            "bad regular expression",
            root ->
                root.putObject("pre_tokenizer")
                    .put("type", "Split")
                    .put("behavior", "Isolated")
                    .put("invert", false)
                    .putObject("pattern")
                    .put("Regex", "(unclosed"),
            "pre_tokenizer has the regular expression '(unclosed', which is not run",
            NativeTokenizer.LIBRARY_VERSION),
        Defect.of(
            "hostile regular expression",
            root ->
                root.putObject("normalizer")
                    .put("type", "Replace")
                    .put("content", "")
                    .putObject("pattern")
                    .put("Regex", "(a+)+$"),
            "normalizer has the regular expression '(a+)+$'"),
        Defect.of(
            "missing field",
            root -> root.putObject("decoder").put("type", "Strip"),
            "the part 'decoder'"),
        Defect.of(
            "merge outside the vocabulary",
            root -> merges(root).insertArray(0).add("no").add("where"),
            "model.merges[0] needs the token 'no'",
            "'nowhere'"),
        Defect.of("merge of one", root -> merges(root).insert(0, "one"), "model.merges[0] is"),
        Defect.of(
            "two tokens of one id",
            root -> vocabulary(root).put("doubled", 5),
            "gives id 5 to both",
            "'doubled'"),
        Defect.of(
            "negative id", root -> vocabulary(root).put("negative", -4), "'negative'", "no id"),
        Defect.of(
            "id beyond the model",
            root -> vocabulary(root).put("!", 900),
            "'!' has the id 900",
            "vocab_size is 800"),
        Defect.of(
            "added token of another id",
            root -> ((ObjectNode) root.get("added_tokens").get(3)).put("id", 777),
            "'<think>' declares the id 777"),
        Defect.of(
            "unknown token outside the vocabulary",
            root -> model(root).put("unk_token", "<none>"),
            "model.unk_token \"<none>\""));
  }

  @ParameterizedTest
  @MethodSource("defects")
  void namesTheDefect(Defect defect) throws IOException {
    Path file = TokenizerCases.FOLDER.resolve("gpt-2/tokenizer.json");
    ObjectNode root = (ObjectNode) JSON.readTree(file.toFile());
    defect.make().accept(root);
    String message = refusal(root.toString());
    for (String fragment : defect.fragments()) {
      assertTrue(message.contains(fragment), message);
    }
  }

  @Test
  void namesThePlaceOfBrokenJson() throws IOException {
    String json = Files.readString(TokenizerCases.FOLDER.resolve("gpt-2/tokenizer.json"));
    assertTrue(refusal(json.substring(0, 5000)).contains("invalid JSON at byte"));
    assertTrue(refusal("").contains("a JSON object is expected"));
    assertTrue(refusal("[]").contains("a JSON object is expected"));
    assertTrue(refusal("<html>").contains("a web page"));
    assertTrue(refusal("{\"a\": 1, \"a\": 2}").contains("the key 'a' is there twice"));
  }

  @Test
  void reportsAllProblemsUpToALimit() throws IOException {
    Path file = TokenizerCases.FOLDER.resolve("gpt-2/tokenizer.json");
    ObjectNode root = (ObjectNode) JSON.readTree(file.toFile());
    root.put("version", "7");
    for (int i = 0; i < 20; i++) {
      merges(root).addArray().add("x" + i).add("y");
    }
    String message = refusal(root.toString());
    assertTrue(message.contains("version is \"7\""), message);
    assertTrue(message.contains("'x0'") && message.contains("and more"), message);
  }

  @Test
  void refusesADirectoryWithoutTokenizer() {
    CheckpointException.Tokenizer error =
        assertThrows(CheckpointException.Tokenizer.class, this::load);
    assertTrue(error.getMessage().contains("has no tokenizer.json"), error.getMessage());
    CheckpointException.Tokenizer none =
        assertThrows(
            CheckpointException.Tokenizer.class,
            () -> Tokenizer.load(new TokenizerSource.None(folder), TokenizerCases.config("llama")));
    assertTrue(none.getMessage().contains("no tokenizer"), none.getMessage());
  }

  @Test
  void refusesAnEndTokenThatIsNoId() throws IOException {
    Files.copy(
        TokenizerCases.FOLDER.resolve("gpt-2/tokenizer.json"), folder.resolve("tokenizer.json"));
    Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": \"two\"}");
    CheckpointException.Tokenizer error =
        assertThrows(CheckpointException.Tokenizer.class, this::load);
    assertTrue(error.getMessage().contains("generation_config.json"), error.getMessage());
    assertTrue(error.getMessage().contains("\"two\""), error.getMessage());
  }

  private String refusal(String json) throws IOException {
    Files.writeString(folder.resolve("tokenizer.json"), json);
    String message = assertThrows(CheckpointException.class, this::load).getMessage();
    assertTrue(message.contains(folder.resolve("tokenizer.json").toString()), message);
    assertEquals(1, message.lines().count(), message);
    return message;
  }

  private void load() {
    ModelConfig config =
        new ModelConfig(
            folder.resolve("config.json"), JSON.createObjectNode().put("vocab_size", 800));
    Tokenizer.load(new TokenizerSource.TokenizerFile(folder), config).close();
  }

  private static ObjectNode model(ObjectNode root) {
    return (ObjectNode) root.get("model");
  }

  private static ObjectNode vocabulary(ObjectNode root) {
    return (ObjectNode) model(root).get("vocab");
  }

  private static ArrayNode merges(ObjectNode root) {
    return (ArrayNode) model(root).get("merges");
  }
}
