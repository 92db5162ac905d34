package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingMap;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The search of {@link LayerwiseStrategy}: KL divergence from the unshared model after repair is
 * nearly additive in the layers that share, so few maps need to be tried.
 *
 * <ol>
 *   <li>Each layer alone shares; its divergence is what it is expected to add.
 *   <li>A step orders all extensions of the kept maps by the expected divergence and tries the
 *       first few; it ends early when no other is expected to be better than the best tried.
 *   <li>What a tried layer added replaces what is expected of it.
 *   <li>The best extension becomes the map, the next best ones fill up the beam.
 *   <li>The search ends when as many layers share as are wanted, or when no tried extension keeps
 *       the limits.
 * </ol>
 */
final class LayerwiseSearch {
  /** Extensions tried in a step for each kept map. */
  private static final int TRIES = 4;

  /** Steps with that many tries; a search with more steps tries fewer in each. */
  private static final int FULL_STEPS = 8;

  private static final double BESIDE_TOP = 2;

  private final LayerwiseStrategy strategy;
  private final NearestSource sources;
  private final DistanceMatrix distances;
  private final RepairedProbe probe;
  private final CalibrationListener listener;
  private final List<TestedCandidate> tested = new ArrayList<>();
  private List<CandidatePair> ranking = List.of();
  private double[] expected;

  /** A map of the beam; cost is the divergence, with {@code preferTop} more. */
  private record Kept(SharingMap map, RepairQuality quality, double cost) {}

  /** A layer that could share in addition. */
  private record Extension(Kept from, int layer, SharingMap map, double expectedCost) {}

  /** An extension that was measured. */
  private record Tried(Extension extension, Kept result) {}

  LayerwiseSearch(
      LayerwiseStrategy strategy,
      NearestSource sources,
      DistanceMatrix distances,
      RepairedProbe probe,
      CalibrationListener listener) {
    this.strategy = strategy;
    this.sources = sources;
    this.distances = distances;
    this.probe = probe;
    this.listener = listener;
  }

  /** Runs to the end. */
  SearchOutcome run(int wantedSharedLayers, QualityLimits limits) {
    SharingMap unshared = SharingMap.identity(distances.layers());
    Kept start = new Kept(unshared, probe.quality(unshared), 0);
    if (wantedSharedLayers > 0) {
      measureSingleLayers(start);
    }
    List<Kept> beam = List.of(start);
    while (beam.get(0).map().sharedLayers() < wantedSharedLayers) {
      report(CalibrationListener.Phase.STEPS, beam.get(0), wantedSharedLayers);
      List<Tried> tries = tries(beam, triesPerStep(wantedSharedLayers));
      List<Tried> passing =
          tries.stream()
              .filter(tried -> limits.hold(tried.result().quality()))
              .sorted(Comparator.comparingDouble(tried -> tried.result().cost()))
              .limit(strategy.width())
              .toList();
      log(tries, passing.isEmpty() ? null : passing.get(0));
      if (passing.isEmpty()) {
        break;
      }
      beam = passing.stream().map(Tried::result).toList();
      if (beam.get(0).map().sharedLayers() < wantedSharedLayers) {
        probe.accepted(beam.get(0).map());
      }
    }
    Kept best = beam.get(0);
    report(CalibrationListener.Phase.STEPS, best, wantedSharedLayers);
    boolean reached = best.map().sharedLayers() >= wantedSharedLayers;
    return new SearchOutcome(
        best.map(),
        best.quality().similarity(),
        wantedSharedLayers,
        ranking,
        tested,
        0,
        new LayerWork(0, 0),
        List.of(new StrategyResult(strategy.strategy(), best.map(), reached, best.quality())));
  }

  private void measureSingleLayers(Kept start) {
    int layers = start.map().layers();
    expected = new double[layers];
    List<CandidatePair> pairs = new ArrayList<>();
    for (int layer = 0; layer < layers; layer++) {
      listener.progressed(
          CalibrationListener.Progress.of(CalibrationListener.Phase.SINGLES, layer, layers));
      SharingMap map = sources.extend(start.map(), layer);
      if (map != null) {
        expected[layer] = probe.quality(map).divergence().mean();
        pairs.add(pair(layer, map.source(layer)));
      }
    }
    listener.progressed(
        CalibrationListener.Progress.of(CalibrationListener.Phase.SINGLES, layers, layers));
    pairs.sort(Comparator.comparingDouble(pair -> expected[pair.layer()]));
    ranking = List.copyOf(pairs);
  }

  /** The extensions that promise most, measured. */
  private List<Tried> tries(List<Kept> beam, int tries) {
    List<Extension> extensions = extensions(beam);
    List<Tried> measured = new ArrayList<>();
    int most = tries * beam.size();
    for (int next = 0; next < extensions.size() && measured.size() < most; next++) {
      Extension extension = extensions.get(next);
      if (measured.size() >= strategy.width()
          && extension.expectedCost() >= cost(measured, strategy.width())) {
        break;
      }
      RepairQuality quality = probe.quality(extension.map());
      double added = quality.divergence().mean() - extension.from().quality().divergence().mean();
      expected[extension.layer()] = added;
      double cost = extension.from().cost() + weight(extension) * added;
      measured.add(new Tried(extension, new Kept(extension.map(), quality, cost)));
    }
    return measured;
  }

  /** All different extensions, the one with the least expected cost at the front. */
  private List<Extension> extensions(List<Kept> beam) {
    List<Extension> extensions = new ArrayList<>();
    Set<SharingMap> seen = new HashSet<>();
    for (Kept kept : beam) {
      for (int layer = 0; layer < kept.map().layers(); layer++) {
        SharingMap map = sources.extend(kept.map(), layer);
        if (map != null && seen.add(map)) {
          double cost = kept.cost() + weight(kept.map(), layer) * expected[layer];
          extensions.add(new Extension(kept, layer, map, cost));
        }
      }
    }
    extensions.sort(Comparator.comparingDouble(Extension::expectedCost));
    return extensions;
  }

  /** The cost of the n-th best of the extensions measured. */
  private static double cost(List<Tried> measured, int n) {
    return measured.stream()
        .mapToDouble(tried -> tried.result().cost())
        .sorted()
        .skip(n - 1L)
        .findFirst()
        .orElse(Double.POSITIVE_INFINITY);
  }

  private double weight(Extension extension) {
    return weight(extension.from().map(), extension.layer());
  }

  private double weight(SharingMap map, int layer) {
    return strategy.preferTop() && map.highestOwner() != layer ? BESIDE_TOP : 1;
  }

  private static int triesPerStep(int steps) {
    return Math.max(2, Math.min(TRIES, TRIES * FULL_STEPS / Math.max(1, steps)));
  }

  /** Refused extensions first, as a search that goes on from the accepted one meets them. */
  private void log(List<Tried> tries, Tried accepted) {
    tries.stream().filter(tried -> !tried.equals(accepted)).forEach(tried -> log(tried, false));
    if (accepted != null) {
      log(accepted, true);
    }
  }

  private void log(Tried tried, boolean accepted) {
    int layer = tried.extension().layer();
    SharingMap map = tried.extension().map();
    CandidatePair pair = pair(layer, map.source(layer));
    RepairQuality quality = tried.result().quality();
    tested.add(
        new TestedCandidate(
            ranking.stream().map(CandidatePair::layer).toList().indexOf(layer),
            pair,
            map,
            new MeasuredSimilarity(quality.similarity(), 1, 1),
            quality.divergence().mean(),
            accepted));
  }

  private CandidatePair pair(int layer, int source) {
    return new CandidatePair(layer, source, distances.distance(layer, source));
  }

  private void report(CalibrationListener.Phase phase, Kept best, int wanted) {
    int shared = best.map().sharedLayers();
    listener.progressed(
        new CalibrationListener.Progress(
            phase,
            shared,
            wanted,
            shared,
            wanted,
            best.quality().similarity(),
            best.quality().divergence().mean()));
  }
}
