package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.runtime.Divergence;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Counts how much of a model a search runs, by running the search with probes that count layers
 * instead of computing them. Distances, and what a layer costs that shares, are made up: which
 * layers come to share decides how many are run, but not by much.
 */
final class SearchRehearsal {
  private static final long SEED = 0;

  private final ModelSpec spec;
  private final boolean acrossKinds;
  private final LayerWindow window;
  private final int share;
  private final int testsPerLayer;
  private final DistanceMatrix distances;
  private final double[] costs;
  private long tests;
  private long testedLayers;
  private long maps;
  private long walkedLayers;
  private long fits;
  private int firstReduced;

  /**
   * What a search runs.
   *
   * @param tests candidates that are compared by their last hidden states
   * @param testedLayers layers that these run, each on all samples
   * @param maps maps that are repaired and judged
   * @param walkedLayers layers that these run, each on all windows of the search
   * @param fits projections that these fit
   * @param firstReduced the lowest layer that shares or is windowed in the end
   */
  record Counts(
      long tests, long testedLayers, long maps, long walkedLayers, long fits, int firstReduced) {}

  /**
   * @param window what layers keep instead of sharing, null where they share
   * @param share layers that are to share, or to be windowed
   * @param testsPerLayer candidates that are tested for each of them, where they are tested
   */
  SearchRehearsal(
      ModelSpec spec, boolean acrossKinds, LayerWindow window, int share, int testsPerLayer) {
    this.spec = spec;
    this.acrossKinds = acrossKinds;
    this.window = window;
    this.share = share;
    this.testsPerLayer = testsPerLayer;
    SplittableRandom random = new SplittableRandom(SEED);
    double[][] made =
        IntStream.range(0, spec.layers())
            .mapToObj(layer -> random.doubles(layer).toArray())
            .toArray(double[][]::new);
    this.distances = new DistanceMatrix(made, made);
    this.costs = random.doubles(spec.layers()).toArray();
  }

  Counts run(SearchStrategy strategy) {
    if (strategy instanceof AutoStrategy auto && window != null) {
      layerwise(auto.layerwise());
    } else if (strategy instanceof AutoStrategy auto) {
      auto.orders().forEach(order -> judge(ordered(order)));
      layerwise(auto.layerwise());
    } else if (strategy instanceof LayerwiseStrategy layerwise) {
      layerwise(layerwise);
    } else {
      ordered((CandidateOrder) strategy);
    }
    return new Counts(tests, testedLayers, maps, walkedLayers, fits, firstReduced);
  }

  private SharingMap ordered(CandidateOrder order) {
    List<CandidatePair> ranking =
        order.rank(distances).stream()
            .filter(pair -> spec.mayShare(pair.layer(), pair.source(), acrossKinds))
            .toList();
    if (order instanceof RepairAwareOrder) {
      walkedLayers += spec.layers();
      fits += distances.pairs().size();
    }
    SearchOutcome outcome =
        new SharingSearch(ranking, this::mayShare, new Tests(), CalibrationListener.NONE)
            .run(spec.layers(), share, 0);
    firstReduced = outcome.plan().firstDifference(SharingPlan.identity(spec.layers()));
    return outcome.map();
  }

  private void judge(SharingMap map) {
    new Repairs().quality(SharingPlan.of(map));
  }

  private void layerwise(LayerwiseStrategy strategy) {
    SearchOutcome outcome =
        new LayerwiseSearch(
                strategy,
                LayerReduction.of(spec, acrossKinds, window),
                distances,
                new Repairs(),
                CalibrationListener.NONE)
            .run(share, QualityLimits.DEFAULT);
    firstReduced = outcome.plan().firstDifference(SharingPlan.identity(spec.layers()));
  }

  private boolean mayShare(SharingMap map) {
    return IntStream.range(0, map.layers())
        .allMatch(layer -> spec.mayShare(layer, map.source(layer), acrossKinds));
  }

  /** Accepts every so many-th candidate. */
  private final class Tests implements SimilarityProbe {
    private SharingMap accepted = SharingMap.identity(spec.layers());
    private int refused;

    @Override
    public MeasuredSimilarity similarity(SharingMap candidate, double threshold) {
      tests++;
      testedLayers +=
          spec.layers() - SharingPlan.of(candidate).firstDifference(SharingPlan.of(accepted));
      refused++;
      boolean passes = refused == testsPerLayer;
      return new MeasuredSimilarity(passes ? 1 : -1, 1, 1);
    }

    @Override
    public void accepted(SharingMap map) {
      accepted = map;
      refused = 0;
    }

    @Override
    public LayerWork work() {
      return new LayerWork(0, 0);
    }
  }

  /** A divergence that grows a little faster than the reduced layers add up to. */
  private final class Repairs implements RepairedProbe {
    private SharingPlan accepted = SharingPlan.identity(spec.layers());

    @Override
    public RepairQuality quality(SharingPlan plan) {
      maps++;
      walk(plan);
      double sum =
          IntStream.range(0, spec.layers())
              .filter(plan::isReduced)
              .mapToDouble(layer -> 1 + costs[layer])
              .sum();
      return new RepairQuality(new Divergence(1, sum * sum, 1, 1, 0, 0), 1);
    }

    @Override
    public void accepted(SharingPlan plan) {
      walk(plan);
      accepted = plan;
    }

    private void walk(SharingPlan plan) {
      int first = plan.firstDifference(accepted);
      walkedLayers += spec.layers() - first;
      fits += IntStream.range(first, spec.layers()).filter(plan::isReduced).count();
    }
  }
}
