package dev.kvshare.apply.model.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource.AddedTokens;
import dev.kvshare.apply.model.TokenizerSource.GgufTokenizer;
import dev.kvshare.apply.model.TokenizerSource.SpecialTokens;
import dev.kvshare.apply.model.TokenizerSource.TokenizerFile;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Tokenizers made of GGUF metadata give the ids of the tokenizer.json they were converted from. */
class GgufTokenizersTest {

  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.model.tokenizer.TokenizerCases#names")
  void encodesAndDecodesAsTheOriginal(String name) throws IOException {
    TokenizerCases cases = TokenizerCases.read(name);
    try (Tokenizer tokenizer = Tokenizer.load(source(name), config(name))) {
      for (int i = 0; i < cases.texts().size(); i++) {
        String text = cases.texts().get(i);
        int[] ids = cases.ids().get(i);
        assertArrayEquals(ids, tokenizer.encode(text, false), text);
        assertArrayEquals(cases.idsWithSpecial().get(i), tokenizer.encode(text, true), text);
        assertArrayEquals(cases.idsLiteral().get(i), tokenizer.encodeLiteral(text), text);
        assertEquals(cases.decoded().get(i), tokenizer.decode(ids, false));
        assertEquals(cases.decodedWithoutSpecial().get(i), tokenizer.decode(ids, true));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.model.tokenizer.TokenizerCases#names")
  void isWrittenAsAHuggingFaceDirectory(String name, @TempDir Path folder) throws IOException {
    TokenizerCases cases = TokenizerCases.read(name);
    TokenizerExport.write(source(name), config(name), folder);
    try (Tokenizer original = Tokenizer.load(source(name), config(name));
        Tokenizer written = Tokenizer.load(new TokenizerFile(folder), config(name))) {
      for (int i = 0; i < cases.texts().size(); i++) {
        String text = cases.texts().get(i);
        assertArrayEquals(cases.ids().get(i), written.encode(text, false), text);
        assertArrayEquals(cases.idsWithSpecial().get(i), written.encode(text, true), text);
        assertEquals(cases.decoded().get(i), written.decode(cases.ids().get(i), false));
      }
      assertEquals(original.eosIds(), written.eosIds());
      assertEquals(original.bosId(), written.bosId());
      assertEquals(
          original.chatTemplate().map(ChatTemplate::source),
          written.chatTemplate().map(ChatTemplate::source));
    }
  }

  @Test
  void takesSpecialTokensFromTheMetadata() throws IOException {
    try (Tokenizer tokenizer = Tokenizer.load(source("gpt-2"), config("gpt-2"))) {
      assertEquals(OptionalInt.of(1), tokenizer.bosId());
      assertEquals(Set.of(2), tokenizer.eosIds());
      assertEquals("{{ messages }}", tokenizer.chatTemplate().orElseThrow().source());
    }
  }

  @Test
  void refusesAnUnknownPreTokenizerByName() throws IOException {
    GgufTokenizer source = source("gpt-2");
    CheckpointException.Tokenizer error =
        assertThrows(
            CheckpointException.Tokenizer.class,
            () -> load(source, "gpt2", "mystery", source.merges()));
    assertTrue(error.getMessage().contains("'mystery'"), error.getMessage());
    assertTrue(error.getMessage().contains("qwen2"), error.getMessage());
    error =
        assertThrows(
            CheckpointException.Tokenizer.class, () -> load(source, "gpt2", null, source.merges()));
    assertTrue(error.getMessage().contains("absent"), error.getMessage());
  }

  @Test
  void refusesAnUnknownModelByName() throws IOException {
    GgufTokenizer source = source("gpt-2");
    CheckpointException.Tokenizer error =
        assertThrows(
            CheckpointException.Tokenizer.class,
            () -> load(source, "bert", "gpt-2", source.merges()));
    assertTrue(error.getMessage().contains("'bert'"), error.getMessage());
  }

  @Test
  void refusesAMergeOfTokensThatAreNotThere() throws IOException {
    GgufTokenizer source = source("gpt-2");
    CheckpointException.Tokenizer error =
        assertThrows(
            CheckpointException.Tokenizer.class,
            () -> load(source, "gpt2", "gpt-2", List.of("\u0120 t", "nowhere else")));
    assertTrue(error.getMessage().contains("model.merges[1]"), error.getMessage());
    assertTrue(error.getMessage().contains("'nowhere'"), error.getMessage());
  }

  private static void load(GgufTokenizer source, String model, String pre, List<String> merges) {
    GgufTokenizer changed =
        new GgufTokenizer(
            source.file(),
            model,
            pre,
            source.tokens(),
            merges,
            source.scores(),
            source.tokenTypes(),
            source.specialTokens(),
            source.addedTokens(),
            source.chatTemplate());
    Tokenizer.load(changed, config("gpt-2")).close();
  }

  private static ModelConfig config(String name) {
    return TokenizerCases.config(name.equals("gemma-spm") ? "gemma2" : "llama");
  }

  private static GgufTokenizer source(String name) throws IOException {
    JsonNode json = TokenizerCases.json(name, "gguf.json");
    List<Float> scores = new ArrayList<>();
    json.path("scores").forEach(score -> scores.add(score.floatValue()));
    List<Integer> types = new ArrayList<>();
    json.path("types").forEach(type -> types.add(type.intValue()));
    return new GgufTokenizer(
        Path.of("model.gguf"),
        json.get("model").textValue(),
        json.get("pre").textValue(),
        TokenizerCases.texts(json.get("tokens")),
        TokenizerCases.texts(json.path("merges")),
        scores,
        types,
        new SpecialTokens(
            json.get("bos").intValue(),
            json.get("eos").intValue(),
            Set.of(json.get("eos").intValue()),
            json.path("unk").asInt(SpecialTokens.ABSENT),
            SpecialTokens.ABSENT),
        new AddedTokens(
            json.get("add_bos").booleanValue(),
            null,
            json.has("add_space_prefix") ? json.get("add_space_prefix").booleanValue() : null),
        "{{ messages }}");
  }
}
