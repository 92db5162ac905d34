package dev.kvshare.apply.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.inference.Predictor;
import ai.djl.modality.nlp.generate.CausalLMOutput;
import ai.djl.modality.nlp.generate.SearchConfig;
import ai.djl.modality.nlp.generate.TextGenerator;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.repository.zoo.Criteria;
import ai.djl.repository.zoo.ZooModel;
import ai.djl.translate.NoBatchifyTranslator;
import ai.djl.translate.TranslateException;
import ai.djl.translate.TranslatorContext;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.generate.GenerationRequest;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.generate.Prompt;
import dev.kvshare.apply.generate.TokenListener;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.RefittedWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** DJL's searches on a random Llama of eight layers under plans of each kind. */
class TextGeneratorTest {
  private static final int NEW_TOKENS = 8;
  private static final int PAD = 0;
  private static final SharingMap SHARED = SharingMap.of(0, 1, 1, 0, 4, 4, 1, 7);
  private static final SharingMap UPWARD = SharingMap.of(0, 1, 5, 5, 5, 5, 6, 7);

  @TempDir static Path folder;

  private static Stream<Plan> plans() {
    Plan.Windows windows = Plan.Windows.of(List.of(1, 2, 3, 4, 6), 3, 6);
    return Stream.of(
        Plan.of(SHARED),
        Plan.identity(8).withWindows(windows),
        Plan.of(SHARED).withWindows(windows),
        Plan.of(SHARED).withWindows(windows).withPrefill(Plan.Prefill.EXACT),
        Plan.of(UPWARD).withUpward(new UpwardReading.Parallel(5, 2)),
        Plan.of(UPWARD).withUpward(new UpwardReading.Sequential()));
  }

  /** One for each kind of cache. */
  private static Stream<Plan> searched() {
    return plans().skip(3).limit(2);
  }

  private static Stream<Plan> withHiddenStates() {
    return searched().map(plan -> plan.withPrefill(Plan.Prefill.PLAN));
  }

  @ParameterizedTest
  @MethodSource("plans")
  void greedyGivesTheTokensOfApply(Plan plan) throws Exception {
    Path policy = policy(plan);
    long[][] prompts = {ids(1, 23), ids(2, 23), ids(3, 5), ids(4, 17)};
    try (Loaded loaded = new Loaded(policy, false)) {
      long[][] expected = applied(loaded.policyModel(), prompts);
      assertRows(prompts, expected, loaded.search("greedy", prompts));
      for (int row = 0; row < prompts.length; row++) {
        long[][] one = {prompts[row]};
        assertRows(one, new long[][] {expected[row]}, loaded.search("greedy", one));
      }
    }
  }

  /** Rows whose caches are mixed up give other tokens than a model without a cache does. */
  @ParameterizedTest
  @MethodSource("searched")
  void beamsGiveTheTokensOfARunWithoutACache(Plan plan) throws Exception {
    long[][] prompts = {ids(1, 19), ids(2, 8)};
    assertSearchesAgree(plan, "beam", prompts);
  }

  @ParameterizedTest
  @MethodSource("withHiddenStates")
  void contrastiveSearchGivesTheTokensOfARunWithoutACache(Plan plan) throws Exception {
    long[][] prompts = {ids(1, 19), ids(2, 19)};
    assertSearchesAgree(plan, "contrastive", prompts);
  }

  @Test
  void refittedWeightsAreUsed() throws Exception {
    Path policy = folder.resolve("repaired.json");
    try (PolicyModel model = PolicyModel.load(Goldens.TINY_LLAMA, null);
        NDManager manager = model.decoder().newManager()) {
      String name = "model.layers.2.self_attn.o_proj.weight";
      Shape shape = new Shape(64, 64);
      NDArray weight = manager.create(normal(5, 64 * 64), shape);
      PolicyFile.write(
          Policy.of(identity(), Plan.of(SHARED)), RefittedWeights.of(Map.of(name, weight)), policy);
    }
    long[][] prompts = {ids(1, 23)};
    try (Loaded loaded = new Loaded(policy, false);
        Loaded plain = new Loaded(policy(Plan.of(SHARED)), false)) {
      long[][] found = loaded.search("greedy", prompts);
      assertRows(prompts, applied(loaded.policyModel(), prompts), found);
      assertTrue(!Arrays.deepEquals(found, plain.search("greedy", prompts)));
    }
  }

  @Test
  void refusesContrastiveSearchWhereItCannotRun() throws Exception {
    try (Loaded loaded = new Loaded(null, false)) {
      long[][] prompts = {ids(1, 19)};
      assertRefused("hidden_states=true", () -> loaded.search("contrastive", prompts));
    }
    Plan exact = Plan.of(SHARED).withPrefill(Plan.Prefill.EXACT);
    try (Loaded loaded = new Loaded(policy(exact), true)) {
      long[][] prompts = {ids(1, 19)};
      assertRefused("exact", () -> loaded.search("contrastive", prompts));
    }
    try (Loaded loaded = new Loaded(null, true)) {
      long[][] prompts = {ids(1, 19), ids(2, 8)};
      assertRefused("prompts of one length", () -> loaded.search("contrastive", prompts));
    }
  }

  @Test
  void refusesWhatTheModelCannotContinue() throws Exception {
    try (Loaded loaded = new Loaded(null, false);
        NDManager manager = NDManager.newBaseManager();
        Predictor<NDList, CausalLMOutput> one = loaded.model.newPredictor();
        Predictor<NDList, CausalLMOutput> other = loaded.model.newPredictor()) {
      NDArray next = manager.create(new long[] {5}, new Shape(1, 1));
      NDList none = new NDList(next, next, manager.ones(new Shape(1, 2), DataType.INT64));
      CausalLMOutput second = other.predict(new NDList(next));
      NDList foreign = new NDList(none).addAll(second.getPastKeyValuesList());
      one.predict(new NDList(next));
      assertRefused("last call", () -> one.predict(foreign));
      NDList again = new NDList(none).addAll(one.predict(new NDList(next)).getPastKeyValuesList());
      one.predict(again);
      assertRefused("last call", () -> one.predict(again));
      long tooLarge = 1_000_000;
      NDArray unknown = manager.create(new long[] {tooLarge}, new Shape(1, 1));
      assertRefused("1000000 is not one", () -> one.predict(new NDList(unknown)));
      NDArray floats = manager.ones(new Shape(1, 1));
      assertRefused("expected int64", () -> one.predict(new NDList(floats)));
      int positions = 1 << 20;
      NDArray longer = manager.zeros(new Shape(1, positions), DataType.INT64);
      assertRefused("positions", () -> one.predict(new NDList(longer)));
    }
  }

  /** Predictors of one model, each with its own text, at the same time. */
  @Test
  void predictorsOfSeveralThreadsShareTheModel() throws Exception {
    Path policy = policy(Plan.of(SHARED).withWindows(Plan.Windows.of(List.of(1, 2), 3, 6)));
    ExecutorService threads = Executors.newFixedThreadPool(4);
    try (Loaded loaded = new Loaded(policy, false)) {
      List<long[][]> alone = new ArrayList<>();
      List<Future<long[][]>> together = new ArrayList<>();
      for (int seed = 0; seed < 8; seed++) {
        alone.add(loaded.search("greedy", ids(seed, 10 + seed)));
      }
      for (int seed = 0; seed < 8; seed++) {
        long[] prompt = ids(seed, 10 + seed);
        together.add(threads.submit(() -> loaded.search("greedy", prompt)));
      }
      for (int seed = 0; seed < 8; seed++) {
        assertArrayEquals(alone.get(seed), together.get(seed).get());
      }
    } finally {
      threads.shutdown();
    }
  }

  @Test
  void closingFreesCachesAndTheModel() throws Exception {
    try (Loaded loaded = new Loaded(null, false);
        NDManager manager = NDManager.newBaseManager()) {
      loaded.search("greedy", ids(1, 10));
      assertTrue(((PolicyBlock) loaded.model.getBlock()).sessions.isEmpty());
      Predictor<NDList, CausalLMOutput> predictor = loaded.model.newPredictor();
      NDArray ids = manager.create(new long[] {5}, new Shape(1, 1));
      predictor.predict(new NDList(ids));
      loaded.model.close();
      assertThrows(Exception.class, () -> predictor.predict(new NDList(ids)));
      predictor.close();
    }
  }

  /** A tensor over memory of Java that the collector has freed holds anything. */
  @Test
  void thePastOutlivesTheCall() throws Exception {
    try (Loaded loaded = new Loaded(policy(Plan.of(SHARED)), false);
        Predictor<NDList, CausalLMOutput> predictor = loaded.model.newPredictor();
        NDManager manager = NDManager.newBaseManager()) {
      NDArray ids = manager.create(ids(1, 64), new Shape(1, 64));
      NDArray mask = manager.ones(new Shape(1, 64), DataType.INT64);
      NDArray past =
          predictor.predict(new NDList(ids, ids, mask)).getPastKeyValuesList().singletonOrThrow();
      float[] numbers = past.toFloatArray();
      for (int round = 0; round < 5; round++) {
        System.gc();
        Thread.sleep(20);
        for (int other = 0; other < 1000; other++) {
          manager.create(new float[] {7, 7, 7, 7}).close();
        }
        assertArrayEquals(numbers, past.toFloatArray());
      }
    }
  }

  private static void assertSearchesAgree(Plan plan, String search, long[]... prompts)
      throws Exception {
    Path policy = policy(plan);
    try (Loaded loaded = new Loaded(policy, search.equals("contrastive"));
        Predictor<NDList, CausalLMOutput> reference =
            loaded.model.newPredictor(
                new WithoutCache(loaded.policyModel(), search.equals("contrastive")))) {
      long[][] expected = search(reference, search, prompts);
      assertArrayEquals(expected, loaded.search(search, prompts));
      assertEquals(
          search.equals("beam") ? 3 * prompts.length : prompts.length, expected.length, "rows");
    }
  }

  /** Runs the whole text anew for each token, row by row; the past holds its tokens. */
  private static final class WithoutCache implements NoBatchifyTranslator<NDList, CausalLMOutput> {
    private final PolicyModel model;
    private final boolean givesHidden;
    private int promptColumns;

    WithoutCache(PolicyModel model, boolean givesHidden) {
      this.model = model;
      this.givesHidden = givesHidden;
    }

    @Override
    public NDList processInput(TranslatorContext context, NDList input) {
      context.setAttachment("input", input);
      return new NDList();
    }

    @Override
    public CausalLMOutput processOutput(TranslatorContext context, NDList none) {
      NDList input = (NDList) context.getAttachment("input");
      NDManager manager = input.head().getManager();
      int batch = (int) input.head().getShape().get(0);
      long[] mask = input.get(2).toLongArray();
      int columns = mask.length / batch;
      int added = (int) input.head().getShape().get(1);
      promptColumns = input.size() > 3 ? promptColumns : columns;
      NDArray text = input.head().toType(DataType.FLOAT32, false).reshape(batch, 1, added, 1);
      if (input.size() > 3) {
        text = input.get(3).concat(text, 2);
      }
      float[] tokens = text.toFloatArray();
      Decoder decoder = model.decoder();
      NDList logits = new NDList();
      NDList hidden = new NDList();
      for (int row = 0; row < batch; row++) {
        int at = row * columns;
        long[] ids =
            IntStream.range(at, at + columns)
                .filter(i -> mask[i] == 1)
                .mapToLong(i -> (long) tokens[i])
                .toArray();
        try (KvCache cache = decoder.newCache(model.cacheOptions(), 1, columns);
            NDManager scratch = decoder.newManager()) {
          int prompt = promptColumns - (columns - ids.length);
          NDArray states = null;
          NDArray last;
          if (givesHidden) {
            long[] part = Arrays.copyOf(ids, prompt);
            states = decoder.hidden(scratch.create(part, new Shape(1, prompt)), cache);
            last = decoder.head(states.get(":, -1:"));
          } else {
            int[] part = Arrays.stream(ids).limit(prompt).mapToInt(id -> (int) id).toArray();
            last = decoder.prefill(PromptBatch.of(part), cache, 512).reshape(1, 1, -1);
          }
          for (int token = prompt; token < ids.length; token++) {
            long[] one = {ids[token]};
            states = decoder.hidden(scratch.create(one, new Shape(1, 1)), cache);
            last = decoder.head(states);
          }
          last.attach(manager);
          logits.add(last);
          if (givesHidden) {
            hidden.add(decoder.finalNorm(states));
            hidden.get(row).attach(manager);
          }
        }
      }
      return new CausalLMOutput(
          NDArrays.concat(logits), givesHidden ? NDArrays.concat(hidden) : null, new NDList(text));
    }
  }

  /** A model as DJL loads it. */
  private static final class Loaded implements AutoCloseable {
    private final ZooModel<NDList, CausalLMOutput> model;

    Loaded(Path policy, boolean hiddenStates) throws Exception {
      Criteria.Builder<NDList, CausalLMOutput> criteria =
          KvshareTranslatorFactory.criteria(NDList.class, CausalLMOutput.class, Goldens.TINY_LLAMA)
              .optArgument("threads", 1)
              .optArgument("hidden_states", hiddenStates);
      if (policy != null) {
        criteria.optArgument("policy", policy.toString());
      }
      model = criteria.build().loadModel();
    }

    PolicyModel policyModel() {
      return ((PolicyBlock) model.getBlock()).model;
    }

    long[][] search(String name, long[]... prompts) throws TranslateException {
      try (Predictor<NDList, CausalLMOutput> predictor = model.newPredictor()) {
        return TextGeneratorTest.search(predictor, name, prompts);
      }
    }

    @Override
    public void close() {
      model.close();
    }
  }

  private static long[][] search(
      Predictor<NDList, CausalLMOutput> predictor, String name, long[]... prompts)
      throws TranslateException {
    int longest = Arrays.stream(prompts).mapToInt(prompt -> prompt.length).max().orElseThrow();
    long[] padded = new long[prompts.length * longest];
    for (int row = 0; row < prompts.length; row++) {
      int length = prompts[row].length;
      System.arraycopy(prompts[row], 0, padded, (row + 1) * longest - length, length);
    }
    SearchConfig config = new SearchConfig();
    config.setMaxSeqLength(longest + NEW_TOKENS);
    config.setPadTokenId(PAD);
    try (NDManager manager = NDManager.newBaseManager()) {
      NDArray ids = manager.create(padded, new Shape(prompts.length, longest));
      NDArray found = new TextGenerator(predictor, name, config).generate(ids);
      long[] all = found.toLongArray();
      int columns = longest + NEW_TOKENS;
      long[][] rows = new long[all.length / columns][];
      for (int row = 0; row < rows.length; row++) {
        rows[row] = Arrays.copyOfRange(all, row * columns, (row + 1) * columns);
      }
      return rows;
    }
  }

  private static void assertRows(long[][] prompts, long[][] expected, long[][] found) {
    for (int row = 0; row < prompts.length; row++) {
      long[] generated =
          Arrays.copyOfRange(
              found[row],
              found[row].length - NEW_TOKENS,
              found[row].length - NEW_TOKENS + expected[row].length);
      assertArrayEquals(expected[row], generated, "row " + row);
    }
  }

  private static void assertRefused(String fragment, Executable call) {
    Throwable thrown = assertThrows(Exception.class, call);
    while (thrown instanceof TranslateException && thrown.getCause() != null) {
      thrown = thrown.getCause();
    }
    assertTrue(thrown.getMessage().contains(fragment), thrown.toString());
  }

  private static long[][] applied(PolicyModel model, long[]... prompts) {
    Prompt[] given =
        Arrays.stream(prompts)
            .map(ids -> new Prompt.Ids(Arrays.stream(ids).mapToObj(id -> (int) id).toList()))
            .toArray(Prompt[]::new);
    GenerationRequest request = GenerationRequest.of(given).withMaxNewTokens(NEW_TOKENS);
    return model.generate(request, TokenListener.NONE).completions().stream()
        .map(row -> row.ids().stream().mapToLong(Integer::longValue).toArray())
        .toArray(long[][]::new);
  }

  private static ModelIdentity identity() {
    return new ModelIdentity(null, 8, null, null, null, null);
  }

  private static Path policy(Plan plan) {
    Path file =
        folder.resolve("policy" + Integer.toUnsignedString(plan.toString().hashCode()) + ".json");
    PolicyFile.write(Policy.of(identity(), plan), null, file);
    return file;
  }

  private static long[] ids(int seed, int length) {
    return new Random(seed).longs(length, 3, 250).toArray();
  }

  private static float[] normal(int seed, int count) {
    Random random = new Random(seed);
    float[] numbers = new float[count];
    for (int i = 0; i < count; i++) {
      numbers[i] = (float) random.nextGaussian();
    }
    return numbers;
  }
}
