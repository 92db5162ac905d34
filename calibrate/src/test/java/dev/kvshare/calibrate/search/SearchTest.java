package dev.kvshare.calibrate.search;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance.ComparedMethod;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.Keep;
import dev.kvshare.calibrate.TinyModel;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SampleRunner;
import dev.kvshare.datasets.Corpus;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Methods that look at repaired plans, on a model. */
@Tag("numerics")
class SearchTest {
  private static TinyModel model;
  private static KvStatistics statistics;

  @TempDir private Path folder;

  @BeforeAll
  static void load() {
    model = TinyModel.open();
    statistics = model.calibration().capture();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @Test
  void scoredPlanBeatsRandomMapsOfItsSizeOnItsPassages() {
    CalibrationResult result = settings("share", 3).run();
    assertTrue(result.reached());
    assertEquals("share", result.policy().calibration().method());
    SearchOutcome.Found scored = find(result.outcome().compared(), "share");
    double random = 0;
    for (int seed = 0; seed < 4; seed++) {
      CalibrationResult shuffled =
          settings("random", 3).seed(seed).maxDivergence(1e9).maxPerplexityRise(1e9).run();
      random += divergence(shuffled.outcome()) / 4;
    }
    double found = scored.quality().divergence().mean();
    assertTrue(found < random, found + " " + random);
  }

  @Test
  void shareTakesTheNearestOfItsCandidates() {
    CalibrationResult result = settings("share", 3).run();
    List<SearchOutcome.Found> compared = result.outcome().compared();
    assertEquals(3, compared.size());
    assertEquals(result.policy().map(), compared.get(0).plan().map());
    assertEquals(
        compared.get(0),
        compared.stream()
            .min(Comparator.comparingDouble(found -> found.quality().divergence().mean()))
            .orElseThrow());
    assertEquals(3, result.compared().size());
    assertEquals(
        compared.stream().map(SearchOutcome.Found::name).toList(),
        result.policy().calibration().compared().stream().map(ComparedMethod::method).toList());
    assertTrue(
        result.compared().stream().anyMatch(line -> line.startsWith("kvsharer")),
        result.compared().toString());
  }

  @Test
  void twoRunsAndAResumedOneGiveEqualBytes() throws IOException {
    byte[] expected = PolicyFile.toBytes(settings("share", 3).run().policy());
    Path journal = folder.resolve("policy.journal");
    byte[] journalled = PolicyFile.toBytes(settings("share", 3).journal(journal).run().policy());
    assertArrayEquals(expected, journalled);
    List<String> lines = Files.readAllLines(journal);
    for (int kept : new int[] {lines.size(), lines.size() - 2, lines.size() / 2}) {
      Files.writeString(journal, String.join("\n", lines.subList(0, kept)) + "\n");
      Calibration resuming = settings("share", 3).journal(journal).resume(true);
      assertArrayEquals(expected, PolicyFile.toBytes(resuming.run().policy()));
      assertEquals(lines.size(), Files.readAllLines(journal).size());
    }
    Calibration others = settings("share", 3).text(text(9)).journal(journal).resume(true);
    String message = assertThrows(CalibrationException.class, others::run).getMessage();
    assertTrue(message.contains("repair is"), message);
  }

  @Test
  void layersAreWindowedInsteadOfSharing() throws IOException {
    Calibration wanted = settings("windows", 3).keep(new Keep.WindowedLayers(3)).window(2, 3);
    CalibrationResult result = wanted.run();
    assertTrue(result.policy().map().isIdentity());
    assertEquals(3, result.policy().plan().windowedLayers().size());
    assertEquals(3, result.policy().plan().windows().last());
    assertEquals(2, result.policy().plan().windows().first());
    assertTrue(result.summary().contains("3 of 8 layers keep the first 2 and the last 3 tokens"));
    assertTrue(divergence(result.outcome()) > 0);

    // The layers of the least scores.
    List<Double> costs =
        IntStream.range(0, 8)
            .mapToDouble(layer -> result.outcome().scores().of(layer, new LayerAction.Window(2, 3)))
            .boxed()
            .toList();
    double most = costs.stream().sorted().toList().get(2);
    assertEquals(
        IntStream.range(0, 8).filter(layer -> costs.get(layer) <= most).boxed().toList(),
        result.policy().plan().windowedLayers());

    Path journal = folder.resolve("windows.journal");
    wanted.journal(journal);
    wanted.run();
    List<String> lines = Files.readAllLines(journal);
    Files.writeString(journal, String.join("\n", lines.subList(0, lines.size() - 1)) + "\n");
    assertArrayEquals(
        PolicyFile.toBytes(result.policy()),
        PolicyFile.toBytes(wanted.resume(true).run().policy()));
    wanted.window(2, 4);
    CalibrationException other = assertThrows(CalibrationException.class, wanted::run);
    assertTrue(other.getMessage().contains("window is 3 there and 4 now"), other.getMessage());
  }

  /** Half of the cache: four layers share, or five are windowed, as each keeps something. */
  @Test
  void autoComparesWindowsWithSharingWithinABudget() throws IOException {
    Calibration wanted = settings("auto", 3).keep("50%").window(2, 12);
    CalibrationResult result = wanted.run();
    List<SearchOutcome.Found> compared = result.outcome().compared();
    assertEquals(
        List.of("kvsharer", "share", "windows"),
        compared.stream()
            .map(SearchOutcome.Found::name)
            .filter(name -> !name.equals("mixed"))
            .sorted()
            .toList());
    assertTrue(compared.get(0).reached());
    SearchOutcome.Found windows = find(compared, "windows");
    assertTrue(windows.plan().map().isIdentity());
    assertEquals(12, windows.plan().windows().last());
    assertEquals(compared.get(0).plan().map(), result.policy().plan().map());
    assertEquals(compared.get(0).plan().windows(), result.policy().plan().windows());
    for (SearchOutcome.Found found : compared) {
      boolean windowed = found.name().equals("windows");
      int layers = found.plan().reducedLayers();
      assertTrue(found.name().equals("mixed") ? layers >= 4 : layers == (windowed ? 5 : 4));
    }

    Path journal = folder.resolve("either.journal");
    wanted.journal(journal);
    wanted.run();
    List<String> lines = Files.readAllLines(journal);
    for (int kept : new int[] {lines.size() - 1, lines.size() / 2, lines.size() / 4}) {
      Files.writeString(journal, String.join("\n", lines.subList(0, kept)) + "\n");
      assertArrayEquals(
          PolicyFile.toBytes(result.policy()),
          PolicyFile.toBytes(wanted.resume(true).run().policy()));
    }
  }

  @Test
  void whatAPlanForgetsTakesPartInTheChoice() {
    CalibrationResult result = settings("share", 3).run();
    Plan nearest = result.outcome().plan();
    List<Plan> asked = new ArrayList<>();
    BiFunction<List<Plan>, RefittedWeights, List<Recall>> forgets =
        (plans, weights) -> {
          asked.addAll(plans);
          return plans.stream().map(plan -> losing(plan.equals(nearest) ? 9 : 0.5)).toList();
        };
    try (SampleRunner runner = new SampleRunner(model.decoder(), statistics.samples(), 0, 512)) {
      runner.compareWith(statistics.lastHidden());
      try (Search search =
          new Search(
              model.decoder(),
              runner,
              statistics,
              result.settings(),
              CalibrationListener.NONE,
              forgets)) {
        SearchOutcome outcome = search.run();
        SearchOutcome.Found taken = outcome.compared().get(0);
        assertTrue(asked.contains(nearest) && asked.contains(taken.plan()), asked.toString());
        assertNotEquals(nearest, outcome.plan());
        assertEquals(0.5, taken.recall().meanDivergence());
        assertEquals(taken.quality().divergence().mean() + 0.5, taken.loss());
      }
    }
  }

  private static Recall losing(double nats) {
    Recall.Answers answers = new Recall.Answers(1, 1, -1, 1, -1.0, nats);
    return Recall.of(1024, answers, answers);
  }

  private static SearchOutcome.Found find(List<SearchOutcome.Found> compared, String strategy) {
    return compared.stream()
        .filter(found -> found.name().equals(strategy))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void methodsRefuseWhatTheyCannotReach() {
    assertRefused(
        settings("windows", 3), "The method windows shares no layers: say how much is to be kept");
    assertRefused(
        settings("kvsharer", 3).keep(new Keep.WindowedLayers(3)),
        "A number of windowed layers is for the method windows");
    assertRefused(
        settings("auto", 3).keep(new Keep.WindowedLayers(3)),
        "A number of windowed layers is for the method windows");
    assertRefused(settings("windows", 3).keep(new Keep.WindowedLayers(3)), "more than 68 tokens");
    assertRefused(settings("windows", 3).keep("1%"), "cannot come to \"keep 1 %\"");
  }

  private static void assertRefused(Calibration calibration, String part) {
    String message = assertThrows(CalibrationException.Usage.class, calibration::run).getMessage();
    assertTrue(message.contains(part), message);
  }

  /** Where the text is too short to see what windows lose, auto is share. */
  @Test
  void aShortTextIsForSharingOnly() {
    CalibrationResult result = settings("auto", 3).keep("70%").run();
    assertEquals(
        List.of("kvsharer", "share", "similar"),
        result.outcome().compared().stream().map(SearchOutcome.Found::name).sorted().toList());
  }

  private static Calibration settings(String method, int sharedLayers) {
    return model
        .calibration()
        .statistics(statistics)
        .text(text(5))
        .method(method)
        .keep(new Keep.SharedLayers(sharedLayers))
        .threshold(-1)
        .repair(null);
  }

  private static Corpus text(int seed) {
    return TinyModel.corpus(List.of(new Random(seed).ints(576, 0, 256).toArray()));
  }

  private static double divergence(SearchOutcome outcome) {
    return outcome.compared().get(0).quality().divergence().mean();
  }
}
