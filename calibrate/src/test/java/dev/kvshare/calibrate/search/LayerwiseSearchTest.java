package dev.kvshare.calibrate.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.TinyModel;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.repair.RepairQuality;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Searches by what the repaired model computes. */
class LayerwiseSearchTest {
  private static final double NOT_OUTDONE = Double.POSITIVE_INFINITY;

  private static TinyModel model;

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
    SearchOutcome outcome = search(false, costs, measured, 3, 100);
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
                "layerwise",
                sources(),
                false,
                distances(),
                meter(
                    map -> cost(map, costs) + (map.ownsCache(2) || map.ownsCache(3) ? 0 : 10),
                    new ArrayList<>()),
                CalibrationListener.NONE)
            .run(3, limits(100), NOT_OUTDONE);
    assertEquals(List.of(2, 6, 4), layers(outcome.accepted()));
    assertTrue(layers(outcome.rejected()).contains(3), outcome.rejected().toString());
  }

  @Test
  void aPreferredTopCostsLess() {
    double[] costs = {9, 5, 3, 4, 3.5, 7, 4.5, 5};
    SearchOutcome outcome = search(true, costs, new ArrayList<>(), 2, 100);
    assertEquals(SharingMap.of(0, 1, 2, 3, 4, 5, 5, 5), outcome.map());
  }

  @Test
  void limitsEndTheSearch() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    SearchOutcome outcome = search(false, costs, new ArrayList<>(), 4, 5);
    assertFalse(outcome.reached());
    assertEquals(2, outcome.map().sharedLayers());
  }

  @Test
  void aSearchThatIsOutdoneEnds() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    SearchOutcome outcome =
        new LayerwiseSearch(
                "layerwise",
                sources(),
                false,
                distances(),
                meter(
                    map -> cost(map, costs) + (map.sharedLayers() > 1 ? 10 : 0), new ArrayList<>()),
                CalibrationListener.NONE)
            .run(3, limits(100), 8);
    assertFalse(outcome.reached());
    assertEquals(List.of(2, 6), layers(outcome.accepted()));
    assertEquals(SearchOutcome.Ending.OUTDONE, outcome.compared().get(0).ending());
  }

  /** Layers 7, 6, 5 and 4 alone are enough to know: two of them would be needed, and cost 2 + 3. */
  @Test
  void aSearchThatCannotWinEndsWithItsSingleLayers() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    List<SharingMap> measured = new ArrayList<>();
    SearchOutcome outcome =
        new LayerwiseSearch(
                "layerwise",
                sources(),
                false,
                distances(),
                meter(map -> cost(map, costs), measured),
                CalibrationListener.NONE)
            .run(6, limits(100), 4.5);
    assertEquals(1 + 4, measured.size());
    assertEquals(0, outcome.plan().reducedLayers());
    assertEquals(SearchOutcome.Ending.OUTDONE, outcome.compared().get(0).ending());
  }

  private static SearchOutcome search(
      boolean preferTop,
      double[] costs,
      List<SharingMap> measured,
      int wanted,
      double maxDivergence) {
    return new LayerwiseSearch(
            "layerwise",
            sources(),
            preferTop,
            distances(),
            meter(map -> cost(map, costs), measured),
            CalibrationListener.NONE)
        .run(wanted, limits(maxDivergence), NOT_OUTDONE);
  }

  private static LayerwiseSearch.Reduction sources() {
    return LayerwiseSearch.sharing(model.decoder().spec(), false);
  }

  private static DistanceMatrix distances() {
    double[][] lower = new double[8][];
    for (int layer = 0; layer < lower.length; layer++) {
      lower[layer] = new double[layer];
    }
    return new DistanceMatrix(lower, lower);
  }

  private static SearchSettings.Limits limits(double maxDivergence) {
    return new SearchSettings.Limits(-1, maxDivergence, Double.POSITIVE_INFINITY);
  }

  private static double cost(SharingMap map, double[] costs) {
    double cost = 0;
    for (int layer = 0; layer < map.layers(); layer++) {
      cost += map.ownsCache(layer) ? 0 : costs[layer];
    }
    return cost;
  }

  /** A model whose divergence is given. */
  private static LayerwiseSearch.PlanMeter meter(
      ToDoubleFunction<SharingMap> divergence, List<SharingMap> measured) {
    return new LayerwiseSearch.PlanMeter() {
      @Override
      public RepairQuality quality(Plan plan) {
        SharingMap map = plan.map();
        measured.add(map);
        return new RepairQuality(new Divergence(1, divergence.applyAsDouble(map), 1, 1, 0, 0), 1);
      }

      @Override
      public void accepted(Plan plan) {}
    };
  }

  private static List<Integer> layers(List<SearchOutcome.Tested> tested) {
    return tested.stream().map(candidate -> candidate.pair().layer()).toList();
  }
}
