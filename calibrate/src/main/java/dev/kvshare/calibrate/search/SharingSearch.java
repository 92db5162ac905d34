package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Predicate;

/**
 * The greedy search of KVSharer (arXiv 2410.18517, algorithm 1), over any candidate order.
 *
 * <p>For each pair (i, j) of the order whose i does not share yet:
 *
 * <ol>
 *   <li>map[i] = j; chains are resolved, which also re-points layers that read i;
 *   <li>the candidate map is tested on the samples, as many as it takes for a certain refusal;
 *   <li>it becomes the map if its similarity is greater than the threshold;
 *   <li>the search ends when as many layers share as are wanted.
 * </ol>
 *
 * <p>Deviation: a candidate is passed over when a chain leads to a source that {@code allowed}
 * refuses (another attention window, say), which cannot happen in the models of the paper.
 */
final class SharingSearch {
  private final List<DistanceMatrix.Pair> ranking;
  private final Predicate<SharingMap> allowed;
  private final SimilarityMeter meter;
  private final CalibrationListener listener;

  /**
   * A search that has not begun.
   *
   * @param ranking pairs, the first to try at the front
   * @param allowed whether a map has only pairs that may share
   * @param meter tests the candidates
   */
  SharingSearch(
      List<DistanceMatrix.Pair> ranking,
      Predicate<SharingMap> allowed,
      SimilarityMeter meter,
      CalibrationListener listener) {
    this.ranking = List.copyOf(ranking);
    this.allowed = allowed;
    this.meter = meter;
    this.listener = listener;
  }

  /**
   * Runs to the end.
   *
   * @param layers layers of the model
   * @param wantedLayers where to stop
   * @param threshold similarity that an accepted map exceeds
   */
  SearchOutcome run(int layers, int wantedLayers, double threshold) {
    SharingMap map = SharingMap.identity(layers);
    double similarity = 1;
    int skipped = 0;
    List<SearchOutcome.Tested> tested = new ArrayList<>();
    for (int rank = 0; rank < ranking.size() && map.sharedLayers() < wantedLayers; rank++) {
      report(rank, map, wantedLayers, similarity);
      DistanceMatrix.Pair pair = ranking.get(rank);
      SharingMap candidate = candidate(map, pair);
      if (candidate == null) {
        skipped++;
        continue;
      }
      SharingMap current = map;
      meter.announce(
          ranking.subList(rank + 1, ranking.size()).stream()
              .map(next -> candidate(current, next))
              .filter(Objects::nonNull)
              .iterator());
      SimilarityMeter.Similarity measured = meter.similarity(candidate, threshold);
      boolean accepted = measured.isComplete() && measured.mean() > threshold;
      tested.add(new SearchOutcome.Tested(rank, pair, Plan.of(candidate), measured, accepted));
      if (accepted) {
        map = candidate;
        similarity = measured.mean();
        meter.accepted(map);
      }
    }
    report(ranking.size(), map, wantedLayers, similarity);
    return new SearchOutcome(
        Plan.of(map),
        similarity,
        wantedLayers,
        ranking,
        tested,
        skipped,
        meter.work(),
        List.of(),
        null);
  }

  /** The map with one more pair; null where its layer shares already, or may not share so. */
  private SharingMap candidate(SharingMap map, DistanceMatrix.Pair pair) {
    if (!map.ownsCache(pair.layer())) {
      return null;
    }
    SharingMap candidate = map.withShared(pair.layer(), pair.source());
    return allowed.test(candidate) ? candidate : null;
  }

  private void report(int done, SharingMap map, int wanted, double similarity) {
    listener.progressed(
        new CalibrationListener.Progress(
            CalibrationListener.Phase.SEARCH,
            done,
            ranking.size(),
            map.sharedLayers(),
            wanted,
            similarity,
            Double.NaN));
  }
}
