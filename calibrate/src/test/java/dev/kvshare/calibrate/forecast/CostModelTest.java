package dev.kvshare.calibrate.forecast;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.decoder.QueryFit;
import dev.kvshare.apply.decoder.weights.WeightResidency;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.KvSharerGolden;
import dev.kvshare.calibrate.LayerWindow;
import dev.kvshare.calibrate.TinyModel;
import dev.kvshare.calibrate.search.AutoStrategy;
import dev.kvshare.calibrate.search.CandidateOrder;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchStrategy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalInt;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CostModelTest {
  private static final String LLAMA_2_7B =
      """
      {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
       "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
       "num_key_value_heads": 32, "vocab_size": 32000, "rms_norm_eps": 1e-5,
       "max_position_embeddings": 4096, "hidden_act": "silu", "tie_word_embeddings": false}
      """;

  private static final MachineSpeed SPEED = new MachineSpeed(200e9, 20e9);

  @TempDir private Path folder;
  private ModelSpec llama;

  @BeforeEach
  void readConfiguration() throws IOException {
    Path file = Files.writeString(folder.resolve("config.json"), LLAMA_2_7B);
    llama = ModelFamilies.spec(new ModelConfig(file, JsonFiles.readObject(file)));
  }

  @Test
  void aConfigurationAloneIsEnough() {
    CostModel costs = model("layer-order", 0, false);
    assertEquals(6_738_415_616L * 4, costs.weightBytes());
    CostModel.Cost cost = costs.cost(1);
    assertEquals(8, cost.tests());
    assertEquals(0, cost.repair());
    // The unshared model, then candidates that change layers 31 to 24: 1 to 8 layers each. Two
    // operations a token and weight: 202 million weights a layer, 1,920 tokens, 200 GFLOP/s.
    double computing = (32 + 36) * 1920 * 2 * 202.4e6 / 200e9;
    assertTrue(
        cost.search() > computing && cost.search() < 1.5 * computing, cost + " " + computing);
  }

  @Test
  void refusalsAndRepairCostMore() {
    double alone = model("dissimilar", 0, false).cost(1).seconds();
    assertTrue(model("dissimilar", 0, false).cost(4).seconds() > 2 * alone);
    CostModel.Cost repaired = model("dissimilar", 100_000, false).cost(1);
    assertTrue(repaired.repair() > 10 * repaired.search(), repaired.toString());
  }

  @Test
  void autoCostsItsPartsTogether() {
    double parts =
        model("dissimilar", 0, false).cost(4).search()
            + model("similar", 0, false).cost(4).search()
            + model("greedy", 0, false).cost(4).search();
    double together = model("auto", 0, false).cost(4).search();
    // The unshared model is ranked once, and the two maps of the orders are judged as well.
    assertEquals(parts, together, 0.2 * parts);
  }

  @Test
  void offloadingTakesLittleMemoryAndReadsLayers() {
    CostModel offloaded = model("dissimilar", 0, true);
    CostModel whole = model("dissimilar", 0, false);
    assertTrue(whole.bytes() > 27e9, whole.bytes() + " bytes");
    assertTrue(offloaded.bytes() < 8e9, offloaded.bytes() + " bytes");
    assertTrue(offloaded.cost(1).seconds() > whole.cost(1).search());
  }

  /** A pass over the text for each product with the curvature, up to the most tokens of a fit. */
  @Test
  void fitsOfQueriesGrowWithTheirIterationsAndTokens() {
    LayerTimes times = LayerTimes.estimated(llama, SPEED, 64, 4);
    QueryFitCost usual = new QueryFitCost(llama, times, new QueryFit.Settings(4, 4, 1, 8192), 256);
    QueryFitCost more = new QueryFitCost(llama, times, new QueryFit.Settings(4, 40, 1, 8192), 256);
    double products = 144 * 8192 * 4.0 * 4096 * 4096 / 200e9;
    double added = more.seconds(8192) - usual.seconds(8192);
    assertTrue(added > products && added < 3 * products, added + " " + products);
    assertTrue(usual.seconds(8192) > 1.2 * usual.seconds(4096));
    assertEquals(usual.seconds(8192), usual.seconds(100_000));
    assertEquals(3.0 * 8192 * 256 * 32 * 4, usual.bytes(100_000));
  }

  @Test
  void statesStayWithinTheirLimit() {
    long keysAndValues = 2L * 1920 * 2 * 4096 * 4 * 32;
    assertEquals((1L << 30) + keysAndValues, model("similar", 0, false).stateBytes());
  }

  private CostModel model(String strategy, int repairTokens, boolean offloaded) {
    return new CostModel(
        llama,
        LayerTimes.estimated(llama, SPEED, 64, 4),
        plan(SearchStrategy.of(strategy, 0, false), 8, repairTokens, offloaded));
  }

  private static CostModel.Plan plan(
      SearchStrategy strategy, int share, int repairTokens, boolean offloaded) {
    return new CostModel.Plan(
        30, 64, strategy, false, SearchGoals.share(share), repairTokens, 1L << 30, 4, offloaded);
  }

  /** Windowed layers compare no orders of pairs and have no queries fitted. */
  @Test
  void windowsCostLessThanSharing() {
    try (TinyModel model = TinyModel.open()) {
      LayerTimes times = LayerTimes.estimated(model.decoder().spec(), SPEED, 64, 4);
      CostModel.Cost sharing = tinyCost(model, times, SearchGoals.share(3));
      CostModel.Cost windows =
          tinyCost(
              model,
              times,
              new SearchGoals(OptionalInt.empty(), OptionalInt.of(3), LayerWindow.DEFAULT));
      assertEquals(0, windows.tests());
      assertTrue(windows.maps() > 0 && windows.search() < sharing.search(), windows.toString());
      assertTrue(windows.repair() > 0 && windows.repair() < sharing.repair(), windows.toString());
    }
  }

  private static CostModel.Cost tinyCost(TinyModel model, LayerTimes times, SearchGoals goals) {
    CostModel.Plan plan =
        new CostModel.Plan(
            30, 64, new AutoStrategy(false), false, goals, 20_000, 1L << 30, 4, false);
    return new CostModel(model.decoder().spec(), times, plan).cost(1);
  }

  /** A rehearsal tests and repairs as many maps as a search that meets the same. */
  @ParameterizedTest
  @ValueSource(strings = {"dissimilar", "similar", "layer-order", "random", "greedy", "auto"})
  void countsAreThoseOfASearch(String name) {
    try (TinyModel model = TinyModel.open()) {
      SearchStrategy strategy = SearchStrategy.of(name, 0, false);
      CalibrationSettings settings =
          CalibrationSettings.builder()
              .strategy(strategy)
              .budget(new KvBudget.SharedLayers(3))
              .threshold(-1)
              .build();
      SearchOutcome outcome = model.calibrate(settings).outcome();
      SearchRehearsal.Counts counts =
          new SearchRehearsal(model.decoder().spec(), false, SearchGoals.share(3), 1).run(strategy);
      if (strategy instanceof CandidateOrder) {
        assertEquals(outcome.tested().size(), counts.tests());
        assertEquals(0, counts.maps());
      } else {
        // The unshared model, each layer alone, then two to four tries a step.
        long orders = counts.tests() == 0 ? 0 : 2;
        assertTrue(
            counts.maps() >= orders + 8 + 3 && counts.maps() <= orders + 8 + 12, "" + counts);
      }
      assertTrue(counts.firstReduced() > 0 && counts.firstReduced() < 8, counts.toString());
    }
  }

  @Test
  void everyTimeOfALayerIsMeasured() {
    try (TinyModel model =
        TinyModel.open(KvSharerGolden.path("tiny_llama"), WeightResidency.ONE_LAYER)) {
      LayerTimes times = new LayerStopwatch(model.decoder()).measure(64);
      assertTrue(times.runToken() > 0 && times.walkToken() > 0, times.toString());
      assertTrue(times.fitToken() > 0 && times.solve() > 0, times.toString());
      assertTrue(times.judgeToken() > 0 && times.read() >= 0, times.toString());
    }
  }
}
