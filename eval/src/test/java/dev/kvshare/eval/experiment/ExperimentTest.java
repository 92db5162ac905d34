package dev.kvshare.eval.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.Goldens;
import dev.kvshare.eval.experiment.Experiment.Trial;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.speed.SpeedMeter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Experiments on a tiny Llama of four layers. */
class ExperimentTest {
  private static LoadedModel model;

  private final List<String> searched = new ArrayList<>();
  private final List<String> measured = new ArrayList<>();

  @TempDir Path folder;

  @BeforeAll
  static void load() {
    model = Goldens.model("architectures/llama");
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static Corpus text(int tokens, int seed) {
    int[] ids = new Random(seed).ints(tokens, 3, 256).toArray();
    return new Corpus.Tokens("text" + seed, "%064x".formatted(seed), List.of(ids));
  }

  private Trial trial(String name, int... source) {
    return new Trial(
        name,
        name,
        1,
        () -> {
          searched.add(name);
          return Policy.of(model.identity(), Plan.of(SharingMap.of(source)));
        });
  }

  private Experiment experiment(LoadedModel ofModel, Trial... trials) {
    return experiment(evaluator(ofModel), trials);
  }

  private Evaluator evaluator(LoadedModel ofModel) {
    return Evaluator.of(ofModel).passages(2, 16).speed(null).datasets(new Datasets(folder));
  }

  private Experiment experiment(Evaluator evaluator, Trial... trials) {
    return Experiment.of(evaluator)
        .texts(List.of(text(64, 1)))
        .trials(List.of(trials))
        .folder(folder.resolve("kept"))
        .listener(measured::add);
  }

  @Test
  void aRunThatWasKilledGoesOn() throws IOException {
    Trial[] trials = {trial("a", 0, 0, 2, 3), trial("b", 0, 1, 1, 3)};
    Comparison first = experiment(model, trials).repair(text(600, 2), 600).compare();
    assertEquals(List.of("a", "b"), searched);
    assertEquals(List.of("a", "b"), measured);
    assertEquals(1, first.plans().get(0).reducedLayers());

    // Killed within a write of b, and a measured on one text more.
    Files.writeString(folder.resolve("kept/b.results.json"), "{\"policy\":");
    Comparison second =
        experiment(model, trials)
            .repair(text(600, 2), 600)
            .texts(List.of(text(64, 1), text(64, 3)))
            .compare();
    assertEquals(List.of("a", "b", "b"), searched);
    assertEquals(List.of("a", "b", "a", "b"), measured);
    assertEquals(first.plans().get(0).texts(), second.plans().get(0).texts().subList(0, 1));
    assertEquals(2, second.plans().get(1).texts().size());

    // Other passages are measured anew, with the policies of before.
    experiment(evaluator(model).passages(1, 16), trials).repair(text(600, 2), 600).compare();
    assertEquals(3, searched.size());
    assertEquals(6, measured.size());
  }

  @Test
  void resultsOfAnotherNumberFormatAreRefusedNotMixed() {
    experiment(model, trial("a", 0, 0, 2, 3)).compare();
    try (LoadedModel other =
        LoadedModel.open(
            Goldens.file("architectures/llama"),
            new DecoderOptions("cpu", ComputeType.BFLOAT16, 0))) {
      EvaluationException refused =
          assertThrows(
              EvaluationException.class, () -> experiment(other, trial("a", 0, 0, 2, 3)).compare());
      assertTrue(refused.getMessage().contains("FLOAT32"), refused.getMessage());
      assertTrue(refused.getMessage().contains("BFLOAT16"), refused.getMessage());
      assertEquals(List.of("a"), searched);
    }
    EvaluationException refused =
        assertThrows(
            EvaluationException.class,
            () -> experiment(model, trial("a", 0, 0, 2, 3)).repair(text(600, 2), 600).compare());
    assertTrue(refused.getMessage().contains("no repair"), refused.getMessage());
  }

  @Test
  void aShortTextForTheRepairIsSaidInAParagraph() {
    Experiment experiment =
        experiment(model, trial("a", 0, 0, 2, 3)).repair(text(40, 2), 600).folder(null);
    EvaluationException refused = assertThrows(EvaluationException.class, experiment::compare);
    assertTrue(
        refused.getMessage().startsWith("The text text2 is too short for a repair: 8 passages of"),
        refused.getMessage());
    assertEquals(List.of(), searched);
  }

  @Test
  void plansThatAreAlikeAreRepairedAndMeasuredOnce() {
    List<String> phases = new ArrayList<>();
    Evaluator evaluator =
        evaluator(model)
            .speed(new SpeedMeter.Settings(8, 2, 1))
            .listener((phase, done, total) -> phases.add(phase + " " + done));
    EvaluationReport report =
        experiment(evaluator, trial("a", 0, 0, 2, 2), trial("b", 0, 0, 2, 2))
            .repair(text(1200, 2), 1200)
            .folder(null)
            .table();
    List<Row> rows = report.rows();
    int each = (rows.size() - 1) / 2;

    assertEquals(List.of("a", "b"), measured);
    assertEquals(1, phases.stream().filter("quality 0"::equals).count());
    assertTrue(phases.contains("refitting a 4"), phases.toString());
    assertFalse(phases.contains("refitting b 4"), phases.toString());
    assertEquals(2 * each + 1, rows.size());
    assertEquals("a", rows.get(1).policy());
    assertEquals("b", rows.get(1 + each).policy());
    for (int row = 1; row <= each; row++) {
      assertEquals(rows.get(row).perplexity(), rows.get(row + each).perplexity());
    }
    assertTrue(rows.stream().allMatch(row -> row.speed().decodeTokensPerSecond() > 0));
  }

  /** The speed is measured by a run of its own, which takes the rest from the folder. */
  @Test
  void theSpeedIsAddedToWhatWasKept() {
    Trial trial = trial("2x pizza, 2 KV layers", 0, 0, 2, 2);
    List<Row> quality = experiment(model, trial).table().rows();
    Evaluator timing = evaluator(model).speed(new SpeedMeter.Settings(8, 2, 1));
    List<Row> all = experiment(timing, trial).table().rows();

    assertEquals(1, measured.size());
    assertTrue(Files.exists(folder.resolve("kept/2x-pizza-2-kv-layers.json")));
    assertEquals(quality.get(1).divergence(), all.get(1).divergence());
    assertEquals(null, quality.get(1).speed());
    assertFalse(all.get(1).speed() == null);
  }
}
