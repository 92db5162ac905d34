package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.calibrate.search.AutoMethod;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.WindowsMethod;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalInt;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ForecastTest {
  private static final String LLAMA_2_7B =
      """
      {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
       "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
       "num_key_value_heads": 32, "vocab_size": 32000, "rms_norm_eps": 1e-5,
       "max_position_embeddings": 4096, "hidden_act": "silu", "tie_word_embeddings": false}
      """;

  /** Tokens of a plan that is measured and not repaired. */
  private static final int MEASURED = 2048;

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
    Forecast forecast = forecast("layer-order", 0, false);
    assertEquals(6_738_415_616L * 4, forecast.weightBytes());
    assertEquals(8, forecast.tests());
    assertEquals(0, forecast.repairSeconds());
    // The unshared model, then 8 candidates that change half of the layers. Two operations a token
    // and weight: 202 million weights a layer, 1,920 tokens, 200 GFLOP/s.
    double computing = (32 + 8 * 16) * 1920 * 2 * 202.4e6 / 200e9;
    assertTrue(
        forecast.searchSeconds() > computing && forecast.searchSeconds() < 1.5 * computing,
        forecast + " " + computing);
  }

  @Test
  void repairAndJudgedPlansCostMore() {
    Forecast alone = forecast("kvsharer", 0, false);
    assertEquals(0, alone.plans());
    Forecast repaired = forecast("kvsharer", 100_000, false);
    assertTrue(repaired.repairSeconds() > 10 * repaired.searchSeconds(), repaired.toString());
    Forecast share = forecast("share", 0, false);
    assertEquals(3, share.plans());
    assertTrue(share.searchSeconds() > 1.5 * alone.searchSeconds(), share.toString());
    assertTrue(share.lines().get(1).contains("8 layers share"), share.lines().toString());
  }

  @Test
  void offloadingTakesLittleMemoryAndReadsLayers() {
    Forecast offloaded = forecast("kvsharer", 0, true);
    Forecast whole = forecast("kvsharer", 0, false);
    assertTrue(whole.bytes() > 27e9, whole.bytes() + " bytes");
    assertTrue(offloaded.bytes() < 8e9, offloaded.bytes() + " bytes");
    assertTrue(offloaded.loadSeconds() > whole.loadSeconds());
  }

  /** Windowed layers compare no orders of pairs and have no queries fitted. */
  @Test
  void windowsCostLessThanSharing() {
    Forecast sharing = forecast(new AutoMethod(false), SearchGoals.share(3), 20_000);
    Forecast windows =
        forecast(
            new WindowsMethod(),
            new SearchGoals(OptionalInt.empty(), OptionalInt.of(3), SearchGoals.Window.DEFAULT),
            20_000);
    assertEquals(0, windows.tests());
    assertTrue(windows.plans() > 0 && windows.plans() < sharing.plans());
    assertTrue(windows.repairSeconds() > 0 && windows.repairSeconds() < sharing.repairSeconds());
  }

  /** Whatever the model's size: what the whole of a calibration takes. */
  @Test
  void tokensThroughTheModelAreFew() {
    SearchGoals half =
        new SearchGoals(
            OptionalInt.of(16), OptionalInt.of(17), SearchGoals.Window.ofContext(4, 8192));
    Forecast auto = forecast(new AutoMethod(false), half, MEASURED);
    assertEquals(3, auto.plans());
    assertTrue(
        auto.forwardTokens() > 20_000 && auto.forwardTokens() <= 60_000,
        auto.forwardTokens() + " tokens");
    assertTrue(auto.backwardTokens() > 1_000 && auto.backwardTokens() <= 8_000);
    assertTrue(auto.lines().get(3).contains("backward through the model"), auto.lines().toString());
  }

  /** A search that meets no refusals tests and repairs about as many plans. */
  @ParameterizedTest
  @ValueSource(strings = {"kvsharer", "similar", "layer-order", "random", "share"})
  void countsAreThoseOfASearch(String name) {
    try (TinyModel model = TinyModel.open()) {
      Method method = Method.of(name, 0, false);
      SearchOutcome outcome =
          model
              .calibration()
              .method(name)
              .keep(new Keep.SharedLayers(3))
              .threshold(-1)
              .repair(null)
              .run()
              .outcome();
      Forecast forecast =
          Forecast.of(model.decoder().spec(), 1e-6, work(method, SearchGoals.share(3), 0, false));
      if (forecast.plans() == 0) {
        assertEquals(outcome.tested().size(), forecast.tests());
      } else {
        assertEquals(outcome.compared().size(), forecast.plans());
      }
      assertTrue(Forecast.measure(model.decoder(), 64) > 0);
    }
  }

  private Forecast forecast(String method, int repairTokens, boolean offloaded) {
    return Forecast.of(
        llama,
        Forecast.estimate(llama, SPEED, 64),
        work(Method.of(method, 0, false), SearchGoals.share(8), repairTokens, offloaded));
  }

  private Forecast forecast(Method method, SearchGoals goals, int repairTokens) {
    return Forecast.of(
        llama, Forecast.estimate(llama, SPEED, 64), work(method, goals, repairTokens, false));
  }

  private static Forecast.Work work(
      Method method, SearchGoals goals, int repairTokens, boolean offloaded) {
    return new Forecast.Work(
        method.methodName(),
        method,
        30,
        64,
        goals,
        256,
        repairTokens,
        repairTokens != MEASURED,
        method.repairs() ? 1024 : 0,
        1L << 30,
        4,
        offloaded);
  }
}
