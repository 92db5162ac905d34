package dev.kvshare.calibrate.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.TinyModel;
import dev.kvshare.calibrate.score.Scores;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Plans from given scores of a model with eight layers. */
class ScoredPlansTest {
  private static final SearchGoals.Window WINDOW = new SearchGoals.Window(4, 64);
  private static ModelSpec spec;

  @BeforeAll
  static void load() {
    try (TinyModel model = TinyModel.open()) {
      spec = model.decoder().spec();
    }
  }

  @Test
  void theCheapestLayersAreTakenFirst() {
    double[] costs = {9, 5, 1, 4, 3, 7, 2, 8};
    List<Plan> steps = plans(costs, costs, goals(3, 4), false).steps(true, false);
    assertEquals(List.of(2, 3, 4, 6), last(steps).windowedLayers());
    assertEquals(List.of(2, 6), steps.get(2).windowedLayers());
    assertEquals(5, steps.size());
  }

  /** A layer that shares saves a third of what is wanted, a windowed one a quarter. */
  @Test
  void costsCountForWhatTheySave() {
    double[] windows = {100, 3.1, 100, 100, 100, 100, 100, 1};
    double[] shares = {100, 4, 100, 5, 100, 100, 100, 100};
    List<Plan> steps = plans(windows, shares, goals(3, 4), false).steps(true, true);
    // The window of layer 7; layer 1, whose share costs 12 and whose window 12.4; layer 3.
    assertEquals(
        Plan.of(SharingMap.of(0, 0, 2, 2, 4, 5, 6, 7)).withWindowed(7, 64, 4), steps.get(3));
    assertEquals(5, steps.size());
    assertTrue(goals(3, 4).isReached(last(steps)));
  }

  @Test
  void sourcesKeepTheirOwn() {
    double[] windows = {100, 1, 100, 100, 100, 100, 100, 100};
    double[] shares = {100, 100, 0.1, 0.2, 100, 100, 100, 100};
    // Layer 2 reads layer 1, whose window costs little but would hide what is read.
    Plan plan = last(plans(windows, shares, goals(3, 4), false).steps(true, true));
    IntStream.range(0, 8)
        .filter(layer -> !plan.map().ownsCache(layer))
        .forEach(
            layer -> {
              int source = plan.map().source(layer);
              assertTrue(plan.map().ownsCache(source) && !plan.isWindowed(source), plan.toString());
            });
    assertFalse(plan.isWindowed(1), plan.toString());
  }

  @Test
  void aPreferredTopCostsLess() {
    double[] costs = {9, 5, 3, 4, 3.5, 7, 4.5, 5};
    assertEquals(
        SharingMap.of(0, 1, 2, 3, 4, 5, 5, 5),
        last(plans(costs, costs, goals(2, 4), true).steps(false, true)).map());
  }

  /** All but the first can share, in which more and more layers read one. */
  @Test
  void sevenOfEightLayersShare() {
    double[] costs = {9, 5, 3, 4, 3.5, 7, 4.5, 5};
    ScoredPlans plans = plans(costs, costs, goals(7, 8), false);
    Plan plan = last(plans.steps(false, true));
    assertEquals(SharingMap.of(0, 0, 0, 0, 0, 0, 0, 0), plan.map());
    assertEquals(32, plans.cost(plan), 1e-9);
  }

  @Test
  void layersAreScoredWithTheNearestBelow() {
    List<List<LayerAction>> actions = ScoredPlans.actions(spec, goals(3, 4), false);
    LayerAction window = new LayerAction.Window(4, 64);
    assertEquals(List.of(window), actions.get(0));
    assertEquals(List.of(window, new LayerAction.Share(0)), actions.get(1));
    assertEquals(
        List.of(window, new LayerAction.Share(4), new LayerAction.Share(3)), actions.get(5));
  }

  private static Plan last(List<Plan> steps) {
    return steps.get(steps.size() - 1);
  }

  private static SearchGoals goals(int sharing, int windowed) {
    return new SearchGoals(OptionalInt.of(sharing), OptionalInt.of(windowed), WINDOW);
  }

  private static ScoredPlans plans(
      double[] windows, double[] shares, SearchGoals goals, boolean preferTop) {
    List<Map<LayerAction, Double>> scores =
        IntStream.range(0, 8)
            .mapToObj(
                layer -> {
                  Map<LayerAction, Double> ofLayer = new LinkedHashMap<>();
                  ofLayer.put(new LayerAction.Window(4, 64), windows[layer]);
                  if (layer > 0) {
                    ofLayer.put(new LayerAction.Share(layer - 1), shares[layer]);
                  }
                  return ofLayer;
                })
            .toList();
    return new ScoredPlans(spec, new Scores(scores, 1), goals, false, preferTop);
  }
}
