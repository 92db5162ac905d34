package dev.kvshare.calibrate.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.Test;

class SharingSearchTest {
  private final List<SharingMap> run = new ArrayList<>();
  private final List<SharingMap> accepted = new ArrayList<>();

  @Test
  void acceptsAboveTheThresholdOnlyAndStopsAtTheSize() {
    SearchOutcome outcome =
        search(pairs(3, 1, 2, 0, 2, 1, 1, 0), 2, map -> map.source(2) == 0 ? 0.5 : 0.6);
    assertEquals(SharingMap.of(0, 1, 1, 1), outcome.map());
    assertEquals(0.6, outcome.similarity());
    assertTrue(outcome.reached());
    assertEquals(3, run.size());
    assertEquals(List.of(SharingMap.of(0, 1, 2, 1), SharingMap.of(0, 1, 1, 1)), accepted);
    assertEquals(List.of(1), outcome.rejected().stream().map(SearchOutcome.Tested::rank).toList());
  }

  @Test
  void repointsReadersOfALayerThatSharesLater() {
    SearchOutcome outcome = search(pairs(3, 2, 2, 1, 1, 0), 3, map -> 0.9);
    assertEquals(SharingMap.of(0, 0, 0, 0), outcome.map());
    assertEquals(SharingMap.of(0, 1, 1, 1), run.get(1));
  }

  @Test
  void aSourceThatSharesLeadsToItsOwnSource() {
    search(pairs(2, 1, 3, 2), 2, map -> 0.9);
    assertEquals(SharingMap.of(0, 1, 1, 1), run.get(1));
  }

  @Test
  void passesOverLayersThatShareAlready() {
    SearchOutcome outcome = search(pairs(3, 2, 3, 1, 3, 0, 2, 0), 2, map -> 0.9);
    assertEquals(2, outcome.skipped());
    assertEquals(2, run.size());
    assertEquals(
        List.of(0, 3), outcome.accepted().stream().map(SearchOutcome.Tested::rank).toList());
  }

  @Test
  void returnsTheBestMapWhenTheSizeIsOutOfReach() {
    SearchOutcome outcome =
        search(
            pairs(3, 1, 2, 0, 2, 1),
            2,
            map -> map.sharedLayers() == 1 ? 0.8 : 0.4 + 0.01 * map.source(2));
    assertFalse(outcome.reached());
    assertEquals(SharingMap.of(0, 1, 2, 1), outcome.map());
    assertEquals(0.8, outcome.similarity());
    assertEquals(0.41, outcome.closest().similarity(), 1e-12);
  }

  @Test
  void knowsAThresholdThatWouldHaveSufficedOnlyIfTheWayWouldHaveBeenTheSame() {
    // 3 reads 1 is accepted; then two maps of the wanted size are refused, the second is closer.
    List<DistanceMatrix.Pair> pairs = pairs(3, 1, 2, 0, 2, 1);
    ToDoubleFunction<SharingMap> similarity =
        map -> map.sharedLayers() == 1 ? 0.8 : 0.4123 + 0.01 * map.source(2);
    double sufficient = search(pairs, 2, similarity).sufficientThreshold();
    assertEquals(0.42, sufficient);
    assertTrue(search(pairs, 2, sufficient, similarity).reached());

    // A smaller map that was refused earlier would be accepted first and lead elsewhere.
    SearchOutcome unknown =
        search(
            pairs(1, 0, 3, 1, 2, 0),
            2,
            map -> map.source(1) == 0 ? 0.49 : map.sharedLayers() == 1 ? 0.8 : 0.45);
    assertTrue(Double.isNaN(unknown.sufficientThreshold()));
    assertEquals(0.45, unknown.closest().similarity());
  }

  @Test
  void nothingIsRunWhenNothingIsWanted() {
    SearchOutcome outcome = search(pairs(3, 1), 0, map -> 0.9);
    assertTrue(outcome.reached() && outcome.map().isIdentity() && run.isEmpty());
    assertEquals(1, outcome.similarity());
  }

  @Test
  void passesOverMapsThatAreNotAllowed() {
    SearchOutcome outcome =
        new SharingSearch(
                pairs(2, 1, 3, 2, 3, 0),
                map -> map.source(3) != 1,
                probe(map -> 0.9),
                CalibrationListener.NONE)
            .run(4, 2, 0.5);
    assertEquals(SharingMap.of(0, 1, 1, 0), outcome.map());
    assertEquals(1, outcome.skipped());
  }

  private SearchOutcome search(
      List<DistanceMatrix.Pair> ranking, int wanted, ToDoubleFunction<SharingMap> similarity) {
    return search(ranking, wanted, 0.5, similarity);
  }

  private SearchOutcome search(
      List<DistanceMatrix.Pair> ranking,
      int wanted,
      double threshold,
      ToDoubleFunction<SharingMap> similarity) {
    return new SharingSearch(ranking, map -> true, probe(similarity), CalibrationListener.NONE)
        .run(4, wanted, threshold);
  }

  private SimilarityMeter probe(ToDoubleFunction<SharingMap> similarity) {
    return new SimilarityMeter() {
      @Override
      public SimilarityMeter.Similarity similarity(SharingMap candidate, double threshold) {
        run.add(candidate);
        return new SimilarityMeter.Similarity(similarity.applyAsDouble(candidate), 1, 1);
      }

      @Override
      public void accepted(SharingMap map) {
        accepted.add(map);
      }

      @Override
      public SimilarityMeter.LayerWork work() {
        return new SimilarityMeter.LayerWork(0, 0);
      }
    };
  }

  private static List<DistanceMatrix.Pair> pairs(int... layers) {
    List<DistanceMatrix.Pair> pairs = new ArrayList<>();
    for (int i = 0; i < layers.length; i += 2) {
      pairs.add(new DistanceMatrix.Pair(layers[i], layers[i + 1], 0));
    }
    return pairs;
  }
}
