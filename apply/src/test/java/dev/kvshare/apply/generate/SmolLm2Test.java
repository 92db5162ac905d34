package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.generate.GenerationResult.Completion;
import dev.kvshare.apply.generate.GenerationResult.FinishReason;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/**
 * Text in and out of a real model: SmolLM2-135M-Instruct as GGUF, given by the system property
 * {@code kvshare.smollm2}. Expected values come from transformers 5.23.0 ({@code
 * src/test/python/make_smollm2_cases.py}).
 */
@Tag("real-model")
@EnabledIfSystemProperty(
    named = "kvshare.smollm2",
    matches = ".+",
    disabledReason = "needs SmolLM2-135M-Instruct: -Dkvshare.smollm2=FILE.gguf")
class SmolLm2Test {
  private static final Path FILE = Path.of(System.getProperty("kvshare.smollm2", ""));

  private static PolicyModel model;
  private static JsonNode cases;

  @TempDir Path folder;

  @BeforeAll
  static void load() throws IOException {
    model = PolicyModel.load(FILE, null);
    cases =
        new ObjectMapper()
            .readTree(Path.of("src", "test", "resources", "smollm2", "cases.json").toFile());
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @Test
  void encodesAsTheOriginalTokenizer() {
    Tokenizer tokenizer = model.tokenizer().orElseThrow();
    for (JsonNode node : cases.get("texts")) {
      String text = node.get("text").textValue();
      int[] expected = ids(node.get("ids")).stream().mapToInt(Integer::intValue).toArray();
      assertArrayEquals(expected, tokenizer.encode(text, true), text);
      assertEquals(text, tokenizer.decode(expected, false));
    }
  }

  @Test
  void rendersItsChatTemplate() {
    String prompt =
        model
            .tokenizer()
            .orElseThrow()
            .chatTemplate()
            .orElseThrow()
            .render(List.of(ChatMessage.user("Hi")), true);
    assertEquals(cases.get("chat").textValue(), prompt);
  }

  @Test
  void continuesUnderEachMapAsTheAuthorsCode() {
    JsonNode expected = cases.get("generation");
    for (JsonNode node : expected.get("maps")) {
      SharingMap map =
          SharingMap.of(ids(node.get("map")).stream().mapToInt(Integer::intValue).toArray());
      Path policy = folder.resolve("policy.json");
      PolicyFile.write(Policy.of(ModelIdentity.ofLayers(map.layers()), Plan.of(map)), null, policy);
      try (PolicyModel shared = PolicyModel.load(FILE, policy)) {
        Completion completion = greedy(shared, SamplingOptions.GREEDY);
        assertEquals(ids(expected.get("prompt_ids")), completion.promptIds());
        assertEquals(ids(node.get("ids")), completion.ids(), map.toString());
      }
    }
  }

  @Test
  void penalisesRepetitionAsTransformers() {
    assertEquals(
        ids(cases.get("generation").get("with_repetition_penalty")),
        greedy(model, new SamplingOptions(0, 0, 1, 0, 1.1, 0)).ids());
  }

  @Test
  void answersInAChat() {
    Prompt prompt = new Prompt.Chat(List.of(ChatMessage.user("What is the capital of France?")));
    StringBuilder heard = new StringBuilder();
    TokenListener listener =
        new TokenListener() {
          @Override
          public boolean onToken(int row, int tokenId, String text) {
            heard.append(text);
            return true;
          }

          @Override
          public void onFinish(int row, String text, FinishReason reason) {
            heard.append(text);
          }
        };
    GenerationResult result =
        model.generate(GenerationRequest.of(prompt).withMaxNewTokens(40), listener);
    Completion completion = result.completions().get(0);
    assertTrue(completion.text().contains("Paris"), completion.text());
    assertEquals(completion.text(), heard.toString());
    assertEquals(FinishReason.END_TOKEN, completion.finishReason());
  }

  @Test
  void cutsBeforeAStopString() {
    GenerationRequest request =
        GenerationRequest.of(new Prompt.Text("One, two, three, four,")).withMaxNewTokens(30);
    String whole = model.generate(request, TokenListener.NONE).completions().get(0).text();
    Completion cut =
        model
            .generate(request.withStopStrings(List.of("seven")), TokenListener.NONE)
            .completions()
            .get(0);
    assertEquals(whole.substring(0, whole.indexOf("seven")), cut.text());
    assertEquals(FinishReason.STOP_STRING, cut.finishReason());
  }

  private static Completion greedy(PolicyModel model, SamplingOptions sampling) {
    Prompt prompt = new Prompt.Text(cases.get("generation").get("prompt").textValue());
    GenerationRequest request =
        GenerationRequest.of(prompt).withMaxNewTokens(32).withSampling(sampling);
    return model.generate(request, TokenListener.NONE).completions().get(0);
  }

  private static List<Integer> ids(JsonNode array) {
    List<Integer> ids = new ArrayList<>();
    array.forEach(id -> ids.add(id.intValue()));
    return ids;
  }
}
