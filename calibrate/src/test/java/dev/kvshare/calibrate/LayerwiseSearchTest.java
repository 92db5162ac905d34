package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.ComparedStrategy;
import dev.kvshare.policy.PolicyFile;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.runtime.Divergence;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Searches by what the repaired model computes. */
class LayerwiseSearchTest {
  private static final double NOT_OUTDONE = Double.POSITIVE_INFINITY;

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
  void greedyTakesTheCheapestLayersFirst() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    List<SharingMap> measured = new ArrayList<>();
    SearchOutcome outcome = search(new LayerwiseStrategy(1, false), costs, measured, 3, 100);
    assertEquals(SharingMap.of(0, 1, 1, 3, 3, 5, 5, 7), outcome.map());
    assertEquals(List.of(2, 6, 4), layers(outcome.accepted()));
    // The unshared model, each layer alone, and in each step the one that is certain to be best.
    assertEquals(1 + 7 + 3, measured.size());
    assertEquals(6, outcome.compared().get(0).quality().divergence().mean(), 1e-9);
  }

  @Test
  void aLayerThatCostsMoreThanExpectedIsPassedOver() {
    double[] costs = {9, 5, 1, 1.5, 3, 7, 2, 8};
    SearchOutcome outcome =
        new LayerwiseSearch(
                new LayerwiseStrategy(1, false),
                sources(),
                distances(),
                probe(
                    map -> cost(map, costs) + (map.ownsCache(2) || map.ownsCache(3) ? 0 : 10),
                    new ArrayList<>()),
                CalibrationListener.NONE)
            .run(3, limits(100), NOT_OUTDONE);
    assertEquals(List.of(2, 6, 4), layers(outcome.accepted()));
    assertTrue(layers(outcome.rejected()).contains(3), outcome.rejected().toString());
  }

  @Test
  void aBeamFindsWhatAGreedySearchMisses() {
    double[] costs = {9, 5, 2, 4, 3, 7, 2.5, 8};
    List<SearchOutcome> outcomes = new ArrayList<>();
    for (int width : List.of(1, 3)) {
      outcomes.add(
          new LayerwiseSearch(
                  new LayerwiseStrategy(width, false),
                  sources(),
                  distances(),
                  probe(
                      map ->
                          cost(map, costs) + (map.ownsCache(2) || map.sharedLayers() < 2 ? 0 : 9),
                      new ArrayList<>()),
                  CalibrationListener.NONE)
              .run(2, limits(100), NOT_OUTDONE));
    }
    assertTrue(divergence(outcomes.get(1)) < divergence(outcomes.get(0)));
    assertEquals(SharingMap.of(0, 1, 2, 3, 3, 5, 5, 7), outcomes.get(1).map());
  }

  @Test
  void aPreferredTopCostsLess() {
    double[] costs = {9, 5, 3, 4, 3.5, 7, 4.5, 5};
    SearchOutcome outcome =
        search(new LayerwiseStrategy(1, true), costs, new ArrayList<>(), 2, 100);
    assertEquals(SharingMap.of(0, 1, 2, 3, 4, 5, 5, 5), outcome.map());
  }

  @Test
  void limitsEndTheSearch() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    SearchOutcome outcome = search(new LayerwiseStrategy(1, false), costs, new ArrayList<>(), 4, 5);
    assertFalse(outcome.reached());
    assertEquals(2, outcome.map().sharedLayers());
  }

  @Test
  void aSearchThatIsOutdoneEnds() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    SearchOutcome outcome =
        new LayerwiseSearch(
                new LayerwiseStrategy(1, false),
                sources(),
                distances(),
                probe(
                    map -> cost(map, costs) + (map.sharedLayers() > 1 ? 10 : 0), new ArrayList<>()),
                CalibrationListener.NONE)
            .run(3, limits(100), 8);
    assertFalse(outcome.reached());
    assertEquals(List.of(2, 6), layers(outcome.accepted()));
    assertEquals(StrategyResult.Ending.OUTDONE, outcome.compared().get(0).ending());
  }

  /** Layers 7, 6, 5 and 4 alone are enough to know: two of them would be needed, and cost 2 + 3. */
  @Test
  void aSearchThatCannotWinEndsWithItsSingleLayers() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    List<SharingMap> measured = new ArrayList<>();
    SearchOutcome outcome =
        new LayerwiseSearch(
                new LayerwiseStrategy(1, false),
                sources(),
                distances(),
                probe(map -> cost(map, costs), measured),
                CalibrationListener.NONE)
            .run(6, limits(100), 4.5);
    assertEquals(1 + 4, measured.size());
    assertEquals(0, outcome.plan().reducedLayers());
    assertEquals(StrategyResult.Ending.OUTDONE, outcome.compared().get(0).ending());
  }

  @Test
  void greedyBeatsRandomMapsOfItsSizeOnItsWindows() {
    CalibrationResult result = model.calibrate(settings("greedy", 3).build());
    assertTrue(result.outcome().reached());
    assertEquals("greedy", result.policy().calibration().strategy());
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
        result.policy().calibration().compared().stream().map(ComparedStrategy::strategy).toList());
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
  void repairAwareTriesPairsByTheirErrorsAndResumes() throws IOException {
    Path journal = folder.resolve("policy.journal");
    CalibrationResult result =
        model.calibrate(settings("repair-aware", 3).journal(journal).build());
    assertTrue(result.outcome().reached());
    List<CandidatePair> ranking = result.outcome().ranking();
    assertEquals(28, ranking.size());
    for (int rank = 1; rank < ranking.size(); rank++) {
      assertTrue(ranking.get(rank - 1).distance() <= ranking.get(rank).distance());
    }
    assertEquals(ranking.get(0), result.outcome().tested().get(0).pair());
    List<String> lines = Files.readAllLines(journal);
    Files.writeString(journal, String.join("\n", lines.subList(0, lines.size() - 1)) + "\n");
    CalibrationSettings resuming =
        settings("repair-aware", 3).journal(journal).resume(true).build();
    assertArrayEquals(
        PolicyFile.toBytes(result.policy()),
        PolicyFile.toBytes(model.calibrate(resuming).policy()));
  }

  @Test
  void layersAreWindowedInsteadOfSharing() throws IOException {
    CalibrationSettings.Builder wanted =
        settings("auto", 3).budget(new KvBudget.WindowedLayers(3)).window(new LayerWindow(3, 2));
    CalibrationResult result = model.calibrate(wanted.build());
    assertTrue(result.policy().map().isIdentity());
    assertEquals(3, result.policy().windowedLayers().size());
    assertEquals(3, result.policy().slidingWindow());
    assertEquals(2, result.policy().attentionSinks());
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
    assertEquals(12, windows.plan().slidingWindow());
    assertEquals(compared.get(0).plan(), SharingPlan.of(result.policy()));
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
    assertTrue(refused.getMessage().contains("auto, greedy or beam"), refused.getMessage());
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

  private static SearchOutcome search(
      LayerwiseStrategy strategy,
      double[] costs,
      List<SharingMap> measured,
      int wanted,
      double maxDivergence) {
    return new LayerwiseSearch(
            strategy,
            sources(),
            distances(),
            probe(map -> cost(map, costs), measured),
            CalibrationListener.NONE)
        .run(wanted, limits(maxDivergence), NOT_OUTDONE);
  }

  private static NearestSource sources() {
    return new NearestSource(model.decoder().spec(), false);
  }

  private static DistanceMatrix distances() {
    double[][] lower = new double[8][];
    for (int layer = 0; layer < lower.length; layer++) {
      lower[layer] = new double[layer];
    }
    return new DistanceMatrix(lower, lower);
  }

  private static QualityLimits limits(double maxDivergence) {
    return new QualityLimits(-1, maxDivergence, Double.POSITIVE_INFINITY);
  }

  private static double cost(SharingMap map, double[] costs) {
    double cost = 0;
    for (int layer = 0; layer < map.layers(); layer++) {
      cost += map.ownsCache(layer) ? 0 : costs[layer];
    }
    return cost;
  }

  /** A model whose divergence is given. */
  private static RepairedProbe probe(
      ToDoubleFunction<SharingMap> divergence, List<SharingMap> measured) {
    return new RepairedProbe() {
      @Override
      public RepairQuality quality(SharingPlan plan) {
        SharingMap map = plan.map();
        measured.add(map);
        return new RepairQuality(new Divergence(1, divergence.applyAsDouble(map), 1, 1, 0, 0), 1);
      }

      @Override
      public void accepted(SharingPlan plan) {}
    };
  }

  private static double divergence(SearchOutcome outcome) {
    return outcome.compared().get(0).quality().divergence().mean();
  }

  private static List<Integer> layers(List<TestedCandidate> tested) {
    return tested.stream().map(candidate -> candidate.pair().layer()).toList();
  }
}
