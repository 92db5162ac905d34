package dev.kvshare.apply.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.inference.Predictor;
import ai.djl.modality.Input;
import ai.djl.modality.Output;
import ai.djl.repository.zoo.ZooModel;
import dev.kvshare.apply.generate.GenerationRequest;
import dev.kvshare.apply.generate.GenerationResult.Completion;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.generate.Prompt;
import dev.kvshare.apply.generate.TokenListener;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Text through DJL with the built-in model under a policy. */
class KvshareTranslatorFactoryTest {
  private static final Path MODEL = Path.of(System.getProperty("kvshare.root"), "models/builtin");
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final int NEW_TOKENS = 12;
  private static final List<String> TEXTS = List.of("It was a fine morning, and the", "Oh! said");

  @TempDir static Path folder;
  private static Path policy;

  @BeforeAll
  static void write() {
    Plan plan =
        Plan.of(SharingMap.of(0, 1, 2, 3, 3, 5, 6, 6, 8, 9, 10, 11))
            .withWindows(Plan.Windows.of(List.of(2, 5), 2, 8));
    policy = folder.resolve("policy.json");
    PolicyFile.write(
        Policy.of(new ModelIdentity(null, 12, null, null, null, null), plan), null, policy);
  }

  @Test
  void continuesTextsAsApplyDoes() throws Exception {
    try (ZooModel<String, String> model = load(String.class, String.class);
        Predictor<String, String> predictor = model.newPredictor()) {
      List<Completion> expected = applied(NEW_TOKENS);
      assertEquals(expected.get(0).text(), predictor.predict(TEXTS.get(0)));
      assertEquals(expected.stream().map(Completion::text).toList(), predictor.batchPredict(TEXTS));
    }
  }

  @Test
  void answersRequestsOfDjlServing() throws Exception {
    try (ZooModel<Input, Output> model = load(Input.class, Output.class);
        Predictor<Input, Output> predictor = model.newPredictor()) {
      String json = "{\"inputs\": \"%s\", \"parameters\": {\"max_new_tokens\": 5}}";
      List<Output> outputs =
          predictor.batchPredict(
              List.of(
                  input(TEXTS.get(0)),
                  input(json.formatted(TEXTS.get(1))),
                  input("{\"inputs\": 5}"),
                  input("{\"inputs\": \"a\", \"parameters\": {\"top\": 5}}"),
                  input("{\"inputs\": "),
                  input("{\"inputs\": \"a\", \"parameters\": {\"top_p\": 5}}"),
                  input(json.formatted("long ".repeat(3000)))));
      String first = outputs.get(0).getData().getAsString();
      assertTrue(first.contains(applied(NEW_TOKENS).get(0).text().strip()), first);
      assertTrue(first.contains("\"finish_reason\":\"MAX_NEW_TOKENS\""), first);
      String second = outputs.get(1).getData().getAsString();
      assertTrue(second.contains(applied(5).get(1).text().strip()), second);
      assertRefused(outputs.get(2), "of the form");
      assertRefused(outputs.get(3), "'top' is unknown");
      assertRefused(outputs.get(4), "not JSON");
      assertRefused(outputs.get(5), "top-p");
      assertRefused(outputs.get(6), "positions");
    }
  }

  @Test
  void aPolicyIsFoundFromTheWorkingDirectory() throws Exception {
    Path relative = Path.of("").toAbsolutePath().relativize(policy);
    try (ZooModel<String, String> model =
            KvshareTranslatorFactory.criteria(String.class, String.class, MODEL)
                .optArgument("policy", relative.toString())
                .optArgument("max_new_tokens", NEW_TOKENS)
                .build()
                .loadModel();
        Predictor<String, String> predictor = model.newPredictor()) {
      assertEquals(applied(NEW_TOKENS).get(0).text(), predictor.predict(TEXTS.get(0)));
    }
  }

  @Test
  void refusesWrongArguments() {
    assertArgumentRefused("dtype", "float64", "[float32, bfloat16, float16]");
    assertArgumentRefused("threads", "-1", "at least 0");
    assertArgumentRefused("repair", "no", "true or false");
    assertArgumentRefused("device", "tpu", "cuda:N");
    assertArgumentRefused("max_new_tokens", "many", "expected a number");
    assertThrows(
        PolicyException.class,
        () ->
            KvshareTranslatorFactory.criteria(String.class, String.class, MODEL)
                .optArgument("policy", "missing.json")
                .build()
                .loadModel());
  }

  /**
   * Loading, generating and closing again and again does not take more and more memory. A leak
   * grows in each round; what the allocator keeps for a new thread does not.
   */
  @Test
  void closingTheModelFreesItsMemory() throws Exception {
    assumeTrue(Files.exists(STATUS), "the memory of the process is read from /proc");
    use(1);
    long least = Long.MAX_VALUE;
    long weights = Files.size(MODEL.resolve("model.safetensors"));
    for (int round = 0; round < 10 && least >= weights; round++) {
      long before = allocatedBytes();
      use(2);
      least = Math.min(least, allocatedBytes() - before);
    }
    assertTrue(least < weights, "two loads left " + least + " bytes, of weights " + weights);
  }

  private static void use(int times) throws Exception {
    for (int i = 0; i < times; i++) {
      try (ZooModel<String, String> model = load(String.class, String.class);
          Predictor<String, String> predictor = model.newPredictor()) {
        predictor.predict(TEXTS.get(0));
      }
    }
  }

  private static <I, O> ZooModel<I, O> load(Class<I> input, Class<O> output) throws Exception {
    return KvshareTranslatorFactory.criteria(input, output, MODEL)
        .optArgument("policy", policy.toString())
        .optArgument("max_new_tokens", NEW_TOKENS)
        .build()
        .loadModel();
  }

  private static List<Completion> applied(int tokens) {
    try (PolicyModel model = PolicyModel.load(MODEL, policy)) {
      Prompt[] prompts = TEXTS.stream().map(Prompt.Text::new).toArray(Prompt[]::new);
      GenerationRequest request = GenerationRequest.of(prompts).withMaxNewTokens(tokens);
      return model.generate(request, TokenListener.NONE).completions();
    }
  }

  private static Input input(String text) {
    Input input = new Input();
    input.add(text);
    return input;
  }

  private static void assertRefused(Output output, String fragment) {
    assertEquals(400, output.getCode());
    assertTrue(output.getMessage().contains(fragment), output.getMessage());
  }

  private static void assertArgumentRefused(String name, String value, String fragment) {
    Exception thrown =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                KvshareTranslatorFactory.criteria(String.class, String.class, MODEL)
                    .optArgument(name, value)
                    .build()
                    .loadModel());
    assertTrue(thrown.getMessage().contains(fragment), thrown.getMessage());
  }

  /** Without the pages of mapped files, which stay until the garbage collector unmaps them. */
  private static long allocatedBytes() throws IOException {
    return Files.readAllLines(STATUS).stream()
        .filter(line -> line.startsWith("RssAnon:"))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024)
        .findFirst()
        .orElseThrow();
  }
}
