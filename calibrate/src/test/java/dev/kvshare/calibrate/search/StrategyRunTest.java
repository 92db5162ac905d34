package dev.kvshare.calibrate.search;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance.ComparedMethod;
import dev.kvshare.calibrate.CalibrationException;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.CalibrationUsageException;
import dev.kvshare.calibrate.KvBudget;
import dev.kvshare.calibrate.LayerWindow;
import dev.kvshare.calibrate.QualityLimits;
import dev.kvshare.calibrate.TinyModel;
import dev.kvshare.calibrate.capture.CandidatePair;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Strategies that look at repaired plans, on a model. */
@Tag("numerics")
class StrategyRunTest {
  private static TinyModel model;

  @TempDir private Path folder;

  @BeforeAll
  static void load() {
    model = TinyModel.open();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @Test
  void greedyBeatsRandomMapsOfItsSizeOnItsWindows() {
    CalibrationResult result = model.calibrate(settings("greedy", 3).build());
    assertTrue(result.outcome().reached());
    assertEquals("greedy", result.policy().calibration().method());
    double random = 0;
    for (int seed = 0; seed < 4; seed++) {
      CalibrationSettings shuffled =
          CalibrationSettings.builder()
              .strategy(new RandomOrder(seed))
              .budget(new KvBudget.SharedLayers(3))
              .limits(new QualityLimits(-1, 1e9, 1e9))
              .build();
      random += divergence(model.calibrate(shuffled).outcome()) / 4;
    }
    assertTrue(divergence(result.outcome()) < random, divergence(result.outcome()) + " " + random);
  }

  @Test
  void autoTakesTheNearestOfItsCandidates() {
    CalibrationResult result = model.calibrate(settings("auto", 3).build());
    List<StrategyResult> compared = result.outcome().compared();
    assertEquals(3, compared.size());
    assertEquals(result.policy().map(), compared.get(0).plan().map());
    assertEquals(
        compared.get(0),
        compared.stream()
            .min(Comparator.comparingDouble(found -> found.quality().divergence().mean()))
            .orElseThrow());
    assertEquals(3, result.compared().size());
    assertEquals(
        compared.stream().map(StrategyResult::strategy).toList(),
        result.policy().calibration().compared().stream().map(ComparedMethod::method).toList());
    assertTrue(
        result.compared().stream().anyMatch(line -> line.startsWith("dissimilar")),
        result.compared().toString());
  }

  @Test
  void twoRunsAndAResumedOneGiveEqualBytes() throws IOException {
    byte[] expected = PolicyFile.toBytes(model.calibrate(settings("auto", 3).build()).policy());
    Path journal = folder.resolve("policy.journal");
    byte[] journalled =
        PolicyFile.toBytes(model.calibrate(settings("auto", 3).journal(journal).build()).policy());
    assertArrayEquals(expected, journalled);
    List<String> lines = Files.readAllLines(journal);
    for (int kept : new int[] {lines.size(), lines.size() - 2, lines.size() / 2}) {
      Files.writeString(journal, String.join("\n", lines.subList(0, kept)) + "\n");
      CalibrationSettings resuming = settings("auto", 3).journal(journal).resume(true).build();
      assertArrayEquals(expected, PolicyFile.toBytes(model.calibrate(resuming).policy()));
      assertEquals(lines.size(), Files.readAllLines(journal).size());
    }
    CalibrationSettings others =
        settings("auto", 3).text(windows(9)).journal(journal).resume(true).build();
    String message =
        assertThrows(CalibrationException.class, () -> model.calibrate(others)).getMessage();
    assertTrue(message.contains("repair is"), message);
  }

  @Test
  void layersAreWindowedInsteadOfSharing() throws IOException {
    CalibrationSettings.Builder wanted =
        settings("auto", 3).budget(new KvBudget.WindowedLayers(3)).window(new LayerWindow(3, 2));
    CalibrationResult result = model.calibrate(wanted.build());
    assertTrue(result.policy().map().isIdentity());
    assertEquals(3, result.policy().plan().windowedLayers().size());
    assertEquals(3, result.policy().plan().windows().last());
    assertEquals(2, result.policy().plan().windows().first());
    assertTrue(result.summary().contains("3 of 8 layers keep the first 2 and the last 3 tokens"));
    assertTrue(divergence(result.outcome()) > 0);

    // Each of the others in place of the first that was taken would have cost more by itself.
    List<Double> alone = result.outcome().ranking().stream().map(CandidatePair::distance).toList();
    assertEquals(alone.stream().sorted().toList(), alone);
    assertEquals(8, alone.size());

    Path journal = folder.resolve("windows.journal");
    wanted.journal(journal);
    model.calibrate(wanted.build());
    List<String> lines = Files.readAllLines(journal);
    Files.writeString(journal, String.join("\n", lines.subList(0, lines.size() - 2)) + "\n");
    assertArrayEquals(
        PolicyFile.toBytes(result.policy()),
        PolicyFile.toBytes(model.calibrate(wanted.resume(true).build()).policy()));
    wanted.window(new LayerWindow(4, 2));
    CalibrationException other =
        assertThrows(CalibrationException.class, () -> model.calibrate(wanted.build()));
    assertTrue(other.getMessage().contains("window is 3 there and 4 now"), other.getMessage());
  }

  /** Half of the cache: four layers share, or five are windowed, as each keeps something. */
  @Test
  void autoComparesWindowsWithSharingWithinABudget() throws IOException {
    CalibrationSettings.Builder wanted =
        settings("auto", 3).budget(new KvBudget.Fraction(0.5)).window(new LayerWindow(12, 2));
    CalibrationResult result = model.calibrate(wanted.build());
    List<StrategyResult> compared = result.outcome().compared();
    assertEquals(
        List.of("dissimilar", "greedy", "similar", "windows"),
        compared.stream().map(StrategyResult::strategy).sorted().toList());
    assertTrue(compared.get(0).reached());
    StrategyResult windows = find(compared, "windows");
    assertTrue(windows.plan().map().isIdentity());
    assertEquals(12, windows.plan().windows().last());
    assertEquals(compared.get(0).plan(), result.policy().plan());
    for (StrategyResult found : compared) {
      assertTrue(
          found.ending() != StrategyResult.Ending.OUTDONE
              || found.plan().reducedLayers() == 0
              || found.quality().divergence().mean()
                  > compared.get(0).quality().divergence().mean());
      boolean windowed = found.strategy().equals("windows");
      assertTrue(!found.reached() || found.plan().reducedLayers() == (windowed ? 5 : 4));
    }

    Path journal = folder.resolve("either.journal");
    wanted.journal(journal);
    model.calibrate(wanted.build());
    List<String> lines = Files.readAllLines(journal);
    for (int kept : new int[] {lines.size() - 1, lines.size() / 2, lines.size() / 4}) {
      Files.writeString(journal, String.join("\n", lines.subList(0, kept)) + "\n");
      assertArrayEquals(
          PolicyFile.toBytes(result.policy()),
          PolicyFile.toBytes(model.calibrate(wanted.resume(true).build()).policy()));
    }
  }

  private static StrategyResult find(List<StrategyResult> compared, String strategy) {
    return compared.stream()
        .filter(found -> found.strategy().equals(strategy))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void ordersOfPairsDoNotWindow() {
    CalibrationUsageException refused =
        assertThrows(
            CalibrationUsageException.class,
            () -> settings("dissimilar", 3).window(new LayerWindow(4, 2)).build());
    assertTrue(refused.getMessage().contains("auto or greedy"), refused.getMessage());
    CalibrationUsageException oneWay =
        assertThrows(
            CalibrationUsageException.class,
            () -> settings("greedy", 3).window(new LayerWindow(4, 2)).build());
    assertTrue(oneWay.getMessage().contains("reduces layers in one way"), oneWay.getMessage());
    CalibrationUsageException tooShort =
        assertThrows(
            CalibrationUsageException.class,
            () ->
                settings("greedy", 3)
                    .budget(new KvBudget.WindowedLayers(3))
                    .window(LayerWindow.DEFAULT)
                    .build());
    assertTrue(tooShort.getMessage().contains("more than 68 tokens"), tooShort.getMessage());
  }

  private static CalibrationSettings.Builder settings(String strategy, int sharedLayers) {
    return CalibrationSettings.builder()
        .strategy(SearchStrategy.of(strategy, 0, false))
        .budget(new KvBudget.SharedLayers(sharedLayers))
        .threshold(-1)
        .text(windows(5));
  }

  private static List<int[]> windows(int seed) {
    Random random = new Random(seed);
    List<int[]> windows = new ArrayList<>();
    for (int window = 0; window < 24; window++) {
      windows.add(random.ints(24, 0, 256).toArray());
    }
    return windows;
  }

  private static double divergence(SearchOutcome outcome) {
    return outcome.compared().get(0).quality().divergence().mean();
  }
}
