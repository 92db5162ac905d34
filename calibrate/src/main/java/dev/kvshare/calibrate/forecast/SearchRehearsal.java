package dev.kvshare.calibrate.forecast;

import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.CalibrationListener;
import dev.kvshare.calibrate.QualityLimits;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.LayerWork;
import dev.kvshare.calibrate.capture.MeasuredSimilarity;
import dev.kvshare.calibrate.capture.SimilarityProbe;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.search.CandidateOrder;
import dev.kvshare.calibrate.search.RepairAwareOrder;
import dev.kvshare.calibrate.search.RepairedProbe;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchStrategy;
import dev.kvshare.calibrate.search.StrategySearch;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Counts how much of a model a search runs, by running the search with probes that count layers
 * instead of computing them. Distances, and what a layer costs that shares, are made up: which
 * layers come to share decides how many are run, but not by much.
 */
final class SearchRehearsal {
  private static final long SEED = 0;

  /** What a windowed layer costs of what one costs that shares, as far as was seen. */
  private static final double WINDOWED_COST = 0.2;

  private final ModelSpec spec;
  private final boolean acrossKinds;
  private final SearchGoals goals;
  private final int testsPerLayer;
  private final DistanceMatrix distances;
  private final double[] costs;
  private long tests;
  private long testedLayers;
  private long maps;
  private long walkedLayers;
  private long fits;
  private long queryFits;

  /**
   * What a search runs.
   *
   * @param tests candidates that are compared by their last hidden states
   * @param testedLayers layers that these run, each on all samples
   * @param maps maps that are repaired and judged
   * @param walkedLayers layers that these run, each on all windows of the search
   * @param fits projections that these fit
   * @param queryFits projections of queries that these fit, of layers that share
   * @param plan what is found in the end
   */
  record Counts(
      long tests,
      long testedLayers,
      long maps,
      long walkedLayers,
      long fits,
      long queryFits,
      Plan plan) {

    /** The lowest layer that shares or is windowed in the end. */
    int firstReduced() {
      return plan.firstDifference(Plan.identity(plan.map().layers()));
    }
  }

  /**
   * @param testsPerLayer candidates that are tested for each layer that comes to share, where they
   *     are tested
   */
  SearchRehearsal(ModelSpec spec, boolean acrossKinds, SearchGoals goals, int testsPerLayer) {
    this.spec = spec;
    this.acrossKinds = acrossKinds;
    this.goals = goals;
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
    Plan plan =
        new StrategySearch(
                spec,
                acrossKinds,
                goals,
                QualityLimits.DEFAULT,
                this::distances,
                new Tests(),
                new Repairs(),
                CalibrationListener.NONE)
            .run(strategy)
            .plan();
    return new Counts(tests, testedLayers, maps, walkedLayers, fits, queryFits, plan);
  }

  private DistanceMatrix distances(CandidateOrder order) {
    if (order instanceof RepairAwareOrder) {
      walkedLayers += spec.layers();
      fits += distances.pairs().size();
    }
    return distances;
  }

  /** Accepts every so many-th candidate. */
  private final class Tests implements SimilarityProbe {
    private SharingMap accepted = SharingMap.identity(spec.layers());
    private int refused;

    @Override
    public MeasuredSimilarity similarity(SharingMap candidate, double threshold) {
      tests++;
      testedLayers += spec.layers() - Plan.of(candidate).firstDifference(Plan.of(accepted));
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
    private Plan accepted = Plan.identity(spec.layers());

    @Override
    public RepairQuality quality(Plan plan) {
      maps++;
      walk(plan);
      double sum =
          IntStream.range(0, spec.layers())
              .filter(plan::isReduced)
              .mapToDouble(
                  layer -> (plan.map().ownsCache(layer) ? WINDOWED_COST : 1) * (1 + costs[layer]))
              .sum();
      return new RepairQuality(new Divergence(1, sum * sum, 1, 1, 0, 0), 1);
    }

    @Override
    public void accepted(Plan plan) {
      walk(plan);
      accepted = plan;
    }

    private void walk(Plan plan) {
      int first = plan.firstDifference(accepted);
      walkedLayers += spec.layers() - first;
      fits += IntStream.range(first, spec.layers()).filter(plan::isReduced).count();
      queryFits +=
          IntStream.range(first, spec.layers())
              .filter(layer -> !plan.map().ownsCache(layer))
              .count();
    }
  }
}
