package dev.kvshare.apply.model.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Tokenizers of Hugging Face directories against the ids that the reference library gives. */
class TokenizerTest {
  private static final ModelConfig CONFIG = TokenizerCases.config("llama");

  @TempDir Path folder;

  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.model.tokenizer.TokenizerCases#names")
  void encodesAndDecodesAsTheReference(String name) throws IOException {
    TokenizerCases cases = TokenizerCases.read(name);
    try (Tokenizer tokenizer = load(TokenizerCases.FOLDER.resolve(name))) {
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
  void streamsWhatTheWholeDecodingGives(String name) throws IOException {
    TokenizerCases cases = TokenizerCases.read(name);
    try (Tokenizer tokenizer = load(TokenizerCases.FOLDER.resolve(name))) {
      for (int[] ids : cases.ids()) {
        StreamingDecoder decoder = tokenizer.streaming();
        StringBuilder text = new StringBuilder();
        for (int id : ids) {
          text.append(decoder.push(id));
        }
        text.append(decoder.finish());
        assertEquals(tokenizer.decode(ids, true), text.toString());
      }
    }
  }

  @Test
  void streamsACharacterOnceItIsComplete() throws IOException {
    try (Tokenizer tokenizer = load(TokenizerCases.FOLDER.resolve("gpt-2"))) {
      int[] ids = tokenizer.encode("a🦔b", false);
      assertTrue(ids.length > 3, Arrays.toString(ids));
      StreamingDecoder decoder = tokenizer.streaming();
      StringBuilder pieces = new StringBuilder();
      for (int id : ids) {
        pieces.append('[').append(decoder.push(id)).append(']');
      }
      assertEquals("a🦔b", pieces.toString().replaceAll("[\\[\\]]", ""));
      assertTrue(pieces.toString().contains("[🦔]"), pieces.toString());
      assertEquals("", decoder.finish());
    }
  }

  @Test
  void keepsTheSpaceOfATextThatContinuesAnother() throws IOException {
    try (Tokenizer tokenizer = load(TokenizerCases.FOLDER.resolve("llama-spm"))) {
      int[] both = tokenizer.encode("the dog", false);
      int[] first = tokenizer.encode("the", false);
      StreamingDecoder decoder = tokenizer.streaming(first);
      StringBuilder text = new StringBuilder();
      for (int id : Arrays.copyOfRange(both, first.length, both.length)) {
        text.append(decoder.push(id));
      }
      assertEquals(" dog", text + decoder.finish());
    }
  }

  /** SentencePiece puts a blank before a text, which is a byte of its first token. */
  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.model.tokenizer.TokenizerCases#names")
  void countsTheBytesOfTheText(String name) throws IOException {
    String text = "The café costs 12 €, \u65e5\u672c \ud83d\ude00!";
    try (Tokenizer tokenizer = load(TokenizerCases.FOLDER.resolve(name))) {
      int[] ids = tokenizer.encode(text, false);
      int blank = tokenizer.encode("a", false).length == 1 && bytes(tokenizer, "a") == 2 ? 1 : 0;
      assertEquals(text.getBytes(StandardCharsets.UTF_8).length + blank, bytes(tokenizer, text));
      assertEquals(
          bytes(tokenizer, text),
          Arrays.stream(ids).mapToLong(id -> tokenizer.textBytes(new int[] {id})).sum());
    }
  }

  private static long bytes(Tokenizer tokenizer, String text) {
    return tokenizer.textBytes(tokenizer.encode(text, false));
  }

  @Test
  void doesNotCutLongTexts() throws IOException {
    try (Tokenizer tokenizer = load(TokenizerCases.FOLDER.resolve("smollm"))) {
      String text = "The quick brown fox jumps over the lazy dog. ".repeat(1000);
      int[] ids = tokenizer.encode(text, false);
      assertTrue(ids.length > 5000, "tokens: " + ids.length);
      assertEquals(text, tokenizer.decode(ids, false));
    }
  }

  @Test
  void replacesLoneSurrogates() throws IOException {
    try (Tokenizer tokenizer = load(TokenizerCases.FOLDER.resolve("gpt-2"))) {
      assertArrayEquals(tokenizer.encode("a?b", false), tokenizer.encode("a\ud83db", false));
    }
  }

  @Test
  void ignoresBuiltInTruncationAndPadding() throws IOException {
    String json = Files.readString(TokenizerCases.FOLDER.resolve("gpt-2/tokenizer.json"));
    write(
        "tokenizer.json",
        json.replace(
            "\"truncation\":null,\"padding\":null",
            """
            "truncation":{"direction":"Right","max_length":4,"strategy":"LongestFirst","stride":0},
            "padding":{"strategy":{"Fixed":64},"direction":"Right","pad_to_multiple_of":null,
            "pad_id":0,"pad_type_id":0,"pad_token":"<|endoftext|>"}"""));
    try (Tokenizer cut = load(folder);
        Tokenizer whole = load(TokenizerCases.FOLDER.resolve("gpt-2"))) {
      String text = "one two three four five six seven";
      assertArrayEquals(whole.encode(text, false), cut.encode(text, false));
    }
  }

  @Test
  void readsSpecialTokensFromTheCompanionFiles() throws IOException {
    Files.copy(
        TokenizerCases.FOLDER.resolve("gpt-2/tokenizer.json"), folder.resolve("tokenizer.json"));
    write(
        "tokenizer_config.json",
        """
        {"add_bos_token": true, "bos_token": {"content": "<|im_start|>", "special": true},
         "chat_template": [{"name": "tool_use", "template": "tools"},
                           {"name": "default", "template": "plain"}]}""");
    write("special_tokens_map.json", "{\"eos_token\": \"<|im_end|>\"}");
    write("generation_config.json", "{\"eos_token_id\": [0, 2]}");
    try (Tokenizer tokenizer = load(folder)) {
      assertEquals(OptionalInt.of(1), tokenizer.bosId());
      assertEquals(Set.of(0, 2), tokenizer.eosIds());
      assertEquals(OptionalInt.of(1), tokenizer.specialId("<|im_start|>"));
      assertEquals(OptionalInt.empty(), tokenizer.specialId("x"));
      assertEquals("plain", tokenizer.chatTemplate().orElseThrow().source());
      assertEquals(
          folder.resolve("tokenizer_config.json"), tokenizer.chatTemplate().orElseThrow().origin());
    }
    write("chat_template.jinja", "from its own file");
    try (Tokenizer tokenizer = load(folder)) {
      assertEquals("from its own file", tokenizer.chatTemplate().orElseThrow().source());
      assertEquals(
          folder.resolve("chat_template.jinja"), tokenizer.chatTemplate().orElseThrow().origin());
    }
  }

  /** As in transformers 5, the post-processor says what is added, whatever the keys are. */
  @Test
  void tokenizerJsonSaysWhatIsAdded() throws IOException {
    for (String name : List.of("llama-spm", "gpt-2")) {
      Files.copy(
          TokenizerCases.FOLDER.resolve(name).resolve("tokenizer.json"),
          folder.resolve("tokenizer.json"),
          StandardCopyOption.REPLACE_EXISTING);
      int plain;
      write("tokenizer_config.json", "{}");
      try (Tokenizer tokenizer = load(folder)) {
        plain = tokenizer.encode("x", true).length;
      }
      for (boolean add : new boolean[] {false, true}) {
        write(
            "tokenizer_config.json",
            "{\"add_bos_token\": %s, \"add_eos_token\": %s, \"bos_token\": \"<s>\"}"
                .formatted(add, add));
        try (Tokenizer tokenizer = load(folder)) {
          assertEquals(plain, tokenizer.encode("x", true).length);
        }
      }
      write("tokenizer_config.json", "{\"tokenizer_class\": \"GPTNeoXTokenizerFast\"}");
      try (Tokenizer tokenizer = load(folder)) {
        assertArrayEquals(tokenizer.encode("x", false), tokenizer.encode("x", true));
      }
    }
  }

  private static Tokenizer load(Path directory) {
    return Tokenizer.load(new TokenizerSource.TokenizerFile(directory), CONFIG);
  }

  private void write(String name, String content) throws IOException {
    Files.writeString(folder.resolve(name), content);
  }
}
