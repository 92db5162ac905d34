package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.generate.GenerationRequest.GenerationException;
import dev.kvshare.apply.generate.GenerationResult.Completion;
import dev.kvshare.apply.generate.GenerationResult.FinishReason;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Text in and out with the built-in model. */
class BuiltInModelTest {
  private static final String PROMPT = "It was a fine morning, and the";

  private static PolicyModel model;

  @BeforeAll
  static void load() {
    model = PolicyModel.load(Path.of(System.getProperty("kvshare.root"), "models/builtin"), null);
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @Test
  void streamsTheTextOfEachRow() {
    GenerationRequest request =
        GenerationRequest.of(new Prompt.Text(PROMPT), new Prompt.Text("\u201cOh!\u201d said"))
            .withMaxNewTokens(24)
            .withSampling(new SamplingOptions(0.8, 40, 0.95, 0.01, 1.1, 5));
    StringBuilder[] heard = {new StringBuilder(), new StringBuilder()};
    TokenListener listener =
        new TokenListener() {
          @Override
          public boolean onToken(int row, int tokenId, String text) {
            heard[row].append(text);
            return true;
          }

          @Override
          public void onFinish(int row, String text, FinishReason reason) {
            heard[row].append(text);
          }
        };
    List<Completion> rows = model.generate(request, listener).completions();
    for (int row = 0; row < rows.size(); row++) {
      assertEquals(rows.get(row).text(), heard[row].toString());
      int[] ids = rows.get(row).ids().stream().mapToInt(Integer::intValue).toArray();
      assertEquals(model.tokenizer().orElseThrow().decode(ids, true), rows.get(row).text());
    }
  }

  @Test
  void cutsTheTextBeforeAStopString() {
    GenerationRequest request = GenerationRequest.of(new Prompt.Text(PROMPT)).withMaxNewTokens(40);
    String whole = generate(request).text();
    String stop = whole.substring(whole.length() / 2, whole.length() / 2 + 5);
    Completion cut = generate(request.withStopStrings(List.of("no such text", stop)));
    assertEquals(whole.substring(0, whole.indexOf(stop)), cut.text());
    assertEquals(FinishReason.STOP_STRING, cut.finishReason());
  }

  /** A special token is left out of the text, so no text can be searched for it. */
  @Test
  void endsAtAStopStringThatNamesASpecialToken(@TempDir Path folder) throws IOException {
    Path builtIn = Path.of(System.getProperty("kvshare.root"), "models/builtin");
    for (String name : List.of("config.json", "model.safetensors")) {
      Files.copy(builtIn.resolve(name), folder.resolve(name));
    }
    ObjectMapper json = new ObjectMapper();
    ObjectNode tokenizer = (ObjectNode) json.readTree(builtIn.resolve("tokenizer.json").toFile());
    ((ArrayNode) tokenizer.get("added_tokens"))
        .addObject()
        .put("id", tokenizer.at("/model/vocab/,").intValue())
        .put("content", ",")
        .put("special", true)
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false);
    json.writeValue(folder.resolve("tokenizer.json").toFile(), tokenizer);
    GenerationRequest request = GenerationRequest.of(new Prompt.Text(PROMPT)).withMaxNewTokens(60);
    String whole = generate(request).text();
    assertTrue(whole.contains(","), whole);
    try (PolicyModel special = PolicyModel.load(folder, null)) {
      Completion cut =
          special
              .generate(request.withStopStrings(List.of(",")), TokenListener.NONE)
              .completions()
              .get(0);
      assertEquals(whole.substring(0, whole.indexOf(",")), cut.text());
      assertEquals(FinishReason.END_TOKEN, cut.finishReason());
    }
  }

  @Test
  void refusesAChatWithoutTemplateAndAnEmptyPrompt() {
    Prompt chat = new Prompt.Chat(List.of(ChatMessage.user("Hello")));
    assertRefused(chat, "no chat template");
    assertRefused(new Prompt.Text(""), "is empty");
  }

  private static void assertRefused(Prompt prompt, String fragment) {
    GenerationException error =
        assertThrows(GenerationException.class, () -> generate(GenerationRequest.of(prompt)));
    assertTrue(error.getMessage().contains(fragment), error.getMessage());
  }

  private static Completion generate(GenerationRequest request) {
    return model.generate(request, TokenListener.NONE).completions().get(0);
  }
}
