package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.generate.GenerationRequest.GenerationException;
import dev.kvshare.apply.generate.GenerationResult.Completion;
import dev.kvshare.apply.generate.GenerationResult.FinishReason;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Generation with token ids on a tiny checkpoint. */
class PolicyModelTest {
  private static final SamplingOptions SAMPLING = SamplingOptions.ofTemperature(1.5, 7);

  private static PolicyModel model;

  @TempDir Path folder;

  @BeforeAll
  static void load() {
    model = PolicyModel.load(TinyLlama.DIRECTORY, null);
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @Test
  void continuesGreedilyAsTransformers() {
    GenerationRequest request = request(TinyLlama.input(0)).withMaxNewTokens(16);
    Completion completion = generate(request.withIgnoreEos(true)).completions().get(0);
    assertEquals(TinyLlama.greedy(), completion.ids());
    assertEquals(TinyLlama.input(0), completion.promptIds());
    assertEquals(FinishReason.MAX_NEW_TOKENS, completion.finishReason());
    assertEquals("", completion.text());
  }

  @Test
  void givesABatchOfDifferentLengthsWhatEachRowGivesAlone() {
    List<List<Integer>> prompts =
        List.of(
            TinyLlama.input(0),
            TinyLlama.input(1).subList(0, 7),
            List.of(5),
            TinyLlama.input(1).subList(3, 15));
    for (SamplingOptions sampling : List.of(SamplingOptions.GREEDY, penalised())) {
      GenerationRequest together =
          new GenerationRequest(
              prompts.stream().<Prompt>map(Prompt.Ids::new).toList(),
              12,
              sampling,
              List.of(),
              true,
              null);
      List<Completion> rows = generate(together).completions();
      for (int row = 0; row < prompts.size(); row++) {
        GenerationRequest alone =
            request(prompts.get(row)).withMaxNewTokens(12).withSampling(sampling);
        assertEquals(
            generate(alone.withIgnoreEos(true)).completions().get(0).ids(), rows.get(row).ids());
      }
    }
  }

  /**
   * The longer prompt reaches the last learned position first, and the shorter one goes on: neither
   * its padding nor the row that ended counts as a position.
   */
  @ParameterizedTest
  @CsvSource({"gpt2, false", "gpt2, true", "opt, false", "opt, true"})
  void rowsOfABatchReachTheLastLearnedPositionEachOnItsOwn(String family, boolean budget) {
    CachePolicy policy =
        budget ? new H2o(TokenAmount.tokens(1000), TokenAmount.tokens(10), false) : null;
    try (PolicyModel learned = PolicyModel.load(Goldens.architecture(family), null)) {
      int positions = learned.decoder().spec().learnedPositions();
      List<List<Integer>> prompts =
          List.of(
              new Random(1).ints(positions - 6, 0, 100).boxed().toList(),
              new Random(2).ints(positions - 16, 0, 100).boxed().toList());
      GenerationResult together =
          learned.generate(
              request(prompts.get(0), prompts.get(1))
                  .withMaxNewTokens(100)
                  .withCachePolicy(policy)
                  .withIgnoreEos(true),
              TokenListener.NONE);
      for (int row = 0; row < prompts.size(); row++) {
        Completion alone =
            learned
                .generate(
                    request(prompts.get(row)).withMaxNewTokens(100).withIgnoreEos(true),
                    TokenListener.NONE)
                .completions()
                .get(0);
        assertEquals(alone.ids(), together.completions().get(row).ids());
        assertEquals(FinishReason.MAX_POSITIONS, together.completions().get(row).finishReason());
        assertEquals(positions - prompts.get(row).size(), alone.ids().size());
      }
    }
  }

  @Test
  void drawsTheSameTokensFromTheSameSeed() {
    GenerationRequest request =
        request(TinyLlama.input(0), TinyLlama.input(0))
            .withMaxNewTokens(20)
            .withSampling(SAMPLING)
            .withIgnoreEos(true);
    List<Completion> first = generate(request).completions();
    assertEquals(first, generate(request).completions());
    assertNotEquals(first.get(0).ids(), first.get(1).ids(), "each row has its own stream");
    GenerationRequest otherSeed = request.withSampling(SamplingOptions.ofTemperature(1.5, 8));
    assertNotEquals(first, generate(otherSeed).completions());
    GenerationRequest alone =
        request(TinyLlama.input(0)).withMaxNewTokens(20).withSampling(SAMPLING);
    assertEquals(first.get(0), generate(alone.withIgnoreEos(true)).completions().get(0));
  }

  @Test
  void tellsEachTokenAndStopsWhenAsked() {
    List<Integer> heard = new ArrayList<>();
    List<FinishReason> ends = new ArrayList<>();
    TokenListener listener =
        new TokenListener() {
          @Override
          public boolean onToken(int row, int tokenId, String text) {
            heard.add(tokenId);
            return heard.size() < 5;
          }

          @Override
          public void onFinish(int row, String text, FinishReason reason) {
            ends.add(reason);
          }
        };
    GenerationRequest request = request(TinyLlama.input(0)).withIgnoreEos(true);
    Completion completion = model.generate(request, listener).completions().get(0);
    assertEquals(TinyLlama.greedy().subList(0, 5), heard);
    assertEquals(heard, completion.ids());
    assertEquals(FinishReason.STOPPED, completion.finishReason());
    assertEquals(List.of(FinishReason.STOPPED), ends);
  }

  @Test
  void endsWhenTheThreadIsInterrupted() {
    GenerationRequest request = request(TinyLlama.input(0)).withIgnoreEos(true);
    Completion completion =
        model
            .generate(
                request,
                (row, id, text) -> {
                  Thread.currentThread().interrupt();
                  return true;
                })
            .completions()
            .get(0);
    assertTrue(Thread.interrupted());
    assertEquals(1, completion.ids().size());
    assertEquals(FinishReason.STOPPED, completion.finishReason());
  }

  @Test
  void endsAtTheLastPosition() {
    int positions = model.decoder().spec().maxPositions();
    List<Integer> prompt = new ArrayList<>();
    while (prompt.size() < positions - 3) {
      prompt.addAll(TinyLlama.input(0));
    }
    GenerationRequest request = request(prompt.subList(0, positions - 3)).withIgnoreEos(true);
    Completion completion = generate(request).completions().get(0);
    assertEquals(3, completion.ids().size());
    assertEquals(FinishReason.MAX_POSITIONS, completion.finishReason());
  }

  @Test
  void countsTokensAndBytes() {
    int bytesPerLayer = 2 * 4 * model.decoder().spec().keyValueHeads();
    bytesPerLayer *= model.decoder().spec().headSize();
    GenerationRequest request =
        request(TinyLlama.input(0), TinyLlama.input(1).subList(0, 5)).withMaxNewTokens(4);
    GenerationResult.Stats stats = generate(request.withIgnoreEos(true)).stats();
    assertEquals(25, stats.promptTokens());
    assertEquals(8, stats.newTokens());
    assertEquals(4L * bytesPerLayer, stats.kvBytesPerToken());
    assertTrue(stats.kvBytesAllocated() >= 2 * 23 * stats.kvBytesPerToken());
    assertTrue(stats.prefillTokensPerSecond() > 0);
    assertTrue(stats.decodeTokensPerSecond(2) > 0);
  }

  @Test
  void runsUnderAPolicyWithLessCache() {
    Path policy = policy(SharingMap.of(0, 0, 2, 2), null);
    try (PolicyModel shared = PolicyModel.load(TinyLlama.DIRECTORY, policy)) {
      GenerationRequest request =
          request(TinyLlama.input(0)).withMaxNewTokens(16).withIgnoreEos(true);
      GenerationResult result = shared.generate(request, TokenListener.NONE);
      GenerationResult.Stats unshared = generate(request).stats();
      assertEquals(SharingMap.of(0, 0, 2, 2), shared.map());
      assertNotEquals(TinyLlama.greedy(), result.completions().get(0).ids());
      assertEquals(unshared.kvBytesPerToken(), 2 * result.stats().kvBytesPerToken());
      assertEquals(unshared.kvBytesAllocated(), 2 * result.stats().kvBytesAllocated());
    }
  }

  @Test
  void keepsNoMoreThanSinksAndWindowsOfAPolicy() {
    Path file = folder.resolve("windows.json");
    SharingMap map = SharingMap.identity(4);
    Plan plan = Plan.of(map).withWindows(Plan.Windows.of(List.of(1, 2, 3), 2, 8));
    PolicyFile.write(Policy.of(ModelIdentity.ofLayers(4), plan), null, file);
    try (PolicyModel windowed = PolicyModel.load(TinyLlama.DIRECTORY, file)) {
      GenerationRequest request = request(TinyLlama.input(0)).withIgnoreEos(true);
      GenerationResult.Stats few =
          windowed.generate(request.withMaxNewTokens(1), TokenListener.NONE).stats();
      GenerationResult.Stats many =
          windowed.generate(request.withMaxNewTokens(30), TokenListener.NONE).stats();
      long token = windowed.decoder().spec().kvUse(Plan.of(map)).bytesPerToken(4) / 4;
      assertEquals(token, many.kvBytesPerToken());
      // Up to 64 tokens of the lowest layer are in one block; each place of a head takes 4 bytes.
      long places = 4L * windowed.decoder().spec().keyValueHeads();
      assertEquals((64 + 3 * 10) * (token + places), many.kvBytesAllocated());
      assertEquals(few.kvBytesAllocated(), many.kvBytesAllocated());
    }
  }

  /** The first new token is the unshared model's, each row that of its prompt alone. */
  @Test
  void computesPromptsAsThePolicyOrTheOptionsSay() {
    Path file = folder.resolve("exact.json");
    Plan plan =
        Plan.of(SharingMap.of(0, 0, 2, 2)).withWindows(Plan.Windows.of(List.of(0, 1), 2, 8));
    Plan exact = plan.withPrefill(Plan.Prefill.EXACT);
    PolicyFile.write(Policy.of(ModelIdentity.ofLayers(4), exact), null, file);
    List<List<Integer>> prompts = List.of(TinyLlama.input(0), TinyLlama.input(1).subList(0, 7));
    GenerationRequest together =
        request(prompts.get(0), prompts.get(1)).withMaxNewTokens(12).withIgnoreEos(true);
    try (PolicyModel loaded = PolicyModel.load(TinyLlama.DIRECTORY, file)) {
      assertEquals(exact, loaded.plan());
      GenerationResult result = loaded.generate(together, TokenListener.NONE);
      for (int row = 0; row < 2; row++) {
        GenerationRequest alone =
            request(prompts.get(row)).withMaxNewTokens(12).withIgnoreEos(true);
        List<Integer> ids = result.completions().get(row).ids();
        assertEquals(ids, loaded.generate(alone, TokenListener.NONE).completions().get(0).ids());
        assertEquals(generate(alone).completions().get(0).ids().get(0), ids.get(0));
      }
      assertTrue(result.stats().kvBytesMost() > result.stats().kvBytesAllocated());
      assertTrue(result.facts(null).get("KV cache").get(0).contains(", at most "));
    }
    for (Plan.Prefill prefill : Plan.Prefill.values()) {
      try (PolicyModel loaded =
          PolicyModel.load(
              new PolicyModel.Options(
                  TinyLlama.DIRECTORY, file, DecoderOptions.DEFAULT, true, true, prefill))) {
        assertEquals(plan.withPrefill(prefill), loaded.plan());
      }
    }
  }

  @Test
  void refusesThePolicyOfAnotherModelUnlessForced() {
    Path policy = policy(SharingMap.of(0, 0, 2, 3), "sha256:" + "0".repeat(64));
    assertThrows(PolicyException.class, () -> PolicyModel.load(TinyLlama.DIRECTORY, policy));
    PolicyModel.Options forced =
        new PolicyModel.Options(
            TinyLlama.DIRECTORY, policy, DecoderOptions.DEFAULT, true, true, null);
    PolicyModel.load(forced).close();
    Path longer = policy(SharingMap.of(0, 0, 2, 3, 4), null);
    PolicyModel.Options forcedLonger =
        new PolicyModel.Options(
            TinyLlama.DIRECTORY, longer, DecoderOptions.DEFAULT, true, true, null);
    PolicyException error =
        assertThrows(PolicyException.class, () -> PolicyModel.load(forcedLonger));
    assertTrue(error.getMessage().contains("5 layers"), error.getMessage());
  }

  /** Layers 0 and 2 of this model have a sliding window, 1 and 3 full attention. */
  @Test
  void refusesLayersThatReadAnotherKindOfAttentionAsCalibrationDoes() {
    Path mixed = Goldens.architecture("gemma2");
    Plan plan = Plan.of(SharingMap.of(0, 0, 2, 3));
    Policy policy = Policy.of(ModelIdentity.ofLayers(4), plan);
    Path file = folder.resolve("kinds.json");

    PolicyFile.write(policy, null, file);
    PolicyException.Mismatch refused =
        assertThrows(PolicyException.Mismatch.class, () -> PolicyModel.load(mixed, file));
    assertTrue(refused.getMessage().contains("layer 1 (full attention)"), refused.getMessage());
    assertTrue(
        refused.getMessage().contains("layer 0 (a sliding window of 8"), refused.getMessage());
    assertTrue(refused.getMessage().contains("--across-kinds"), refused.getMessage());
    PolicyModel.load(new PolicyModel.Options(mixed, file, DecoderOptions.DEFAULT, true, true, null))
        .close();

    PolicyFile.write(policy.withCalibration(origin -> origin.acrossKinds = true), null, file);
    PolicyModel.load(mixed, file).close();
    Plan alike = Plan.of(SharingMap.of(0, 1, 0, 1));
    PolicyFile.write(Policy.of(ModelIdentity.ofLayers(4), alike), null, file);
    PolicyModel.load(mixed, file).close();
  }

  @Test
  void refusesPromptsThatDoNotFit() {
    assertRefused(List.of(), "is empty");
    assertRefused(List.of(3, 256), "token id 256 at position 1");
    assertRefused(List.of(-1), "token id -1");
    int tooMany = model.decoder().spec().maxPositions() + 1;
    assertRefused(new ArrayList<>(Collections.nCopies(tooMany, 5)), "positions");
  }

  @Test
  void refusesTextWithoutATokenizer() {
    for (Prompt prompt :
        List.of(new Prompt.Text("hello"), new Prompt.Chat(List.of(ChatMessage.user("hello"))))) {
      CheckpointException.Tokenizer error =
          assertThrows(
              CheckpointException.Tokenizer.class, () -> generate(GenerationRequest.of(prompt)));
      assertTrue(error.getMessage().contains("no tokenizer"), error.getMessage());
    }
    assertTrue(model.tokenizer().isEmpty());
  }

  @Test
  void leavesNothingBehindInNativeMemory() {
    GenerationRequest request =
        request(TinyLlama.input(0), TinyLlama.input(1)).withMaxNewTokens(8).withIgnoreEos(true);
    generate(request);
    int before = tensors();
    for (int i = 0; i < 5; i++) {
      generate(request.withSampling(SAMPLING));
    }
    assertEquals(before, tensors());
  }

  private static int tensors() {
    try (NDManager manager = model.decoder().newManager()) {
      return manager.getParentManager().getManagedArrays().size();
    }
  }

  private static SamplingOptions penalised() {
    return new SamplingOptions(0, 0, 1, 0, 1.3, 0);
  }

  private static void assertRefused(List<Integer> prompt, String fragment) {
    GenerationException error =
        assertThrows(GenerationException.class, () -> generate(request(prompt)));
    assertTrue(error.getMessage().contains(fragment), error.getMessage());
  }

  private Path policy(SharingMap map, String fingerprint) {
    ModelIdentity identity = new ModelIdentity(null, map.layers(), null, null, null, fingerprint);
    Path file = folder.resolve("policy" + map.layers() + ".json");
    PolicyFile.write(Policy.of(identity, Plan.of(map)), null, file);
    return file;
  }

  @SafeVarargs
  private static GenerationRequest request(List<Integer>... prompts) {
    Prompt[] ids = new Prompt[prompts.length];
    for (int i = 0; i < ids.length; i++) {
      ids[i] = new Prompt.Ids(prompts[i]);
    }
    return GenerationRequest.of(ids);
  }

  private static GenerationResult generate(GenerationRequest request) {
    return model.generate(request, TokenListener.NONE);
  }
}
