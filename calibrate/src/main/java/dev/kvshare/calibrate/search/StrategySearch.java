package dev.kvshare.calibrate.search;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.CalibrationListener;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.QualityLimits;
import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.SimilarityProbe;
import dev.kvshare.calibrate.repair.RepairQuality;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Runs any strategy with probes that are given to it: those of a calibration measure a model, those
 * of a forecast count what would be run.
 */
public final class StrategySearch {
  private final ModelSpec spec;
  private final boolean acrossKinds;
  private final SearchGoals goals;
  private final QualityLimits limits;
  private final DistanceMatrix distances;
  private final SimilarityProbe similarities;
  private final RepairedProbe repairs;
  private final CalibrationListener listener;

  /**
   * A search that has not begun.
   *
   * @param acrossKinds see {@link CalibrationSettings#acrossKinds}
   * @param distances of keys and values, by which an order ranks its pairs
   */
  public StrategySearch(
      ModelSpec spec,
      boolean acrossKinds,
      SearchGoals goals,
      QualityLimits limits,
      DistanceMatrix distances,
      SimilarityProbe similarities,
      RepairedProbe repairs,
      CalibrationListener listener) {
    this.spec = spec;
    this.acrossKinds = acrossKinds;
    this.goals = goals;
    this.limits = limits;
    this.distances = distances;
    this.similarities = similarities;
    this.repairs = repairs;
    this.listener = listener;
  }

  public SearchOutcome run(SearchStrategy strategy) {
    if (strategy instanceof CandidateOrder order) {
      SearchOutcome outcome = ordered(order);
      return limits.needRepair() ? measured(order, outcome) : outcome;
    }
    boolean shares = goals.sharing().isPresent();
    if (strategy instanceof AutoStrategy auto) {
      return shares ? best(auto) : windowed(auto.layerwise());
    }
    LayerwiseStrategy layerwise = (LayerwiseStrategy) strategy;
    return shares ? sharing(layerwise, Double.POSITIVE_INFINITY) : windowed(layerwise);
  }

  /** The pairs that may share, in an order. */
  static List<CandidatePair> ranking(
      CandidateOrder order, DistanceMatrix distances, ModelSpec spec, boolean acrossKinds) {
    return order.rank(distances).stream()
        .filter(pair -> spec.mayShare(pair.layer(), pair.source(), acrossKinds))
        .toList();
  }

  /**
   * Of the searches that reached the size, or else came nearest to it, the one with the nearest
   * plan.
   */
  private SearchOutcome best(AutoStrategy strategy) {
    List<SearchOutcome> outcomes = new ArrayList<>();
    for (CandidateOrder order : strategy.orders()) {
      similarities.accepted(SharingMap.identity(spec.layers()));
      outcomes.add(measured(order, ordered(order)));
    }
    if (goals.windowed().isPresent()) {
      SearchOutcome windowed = windowed(strategy.layerwise());
      outcomes.add(windowed.withCompared(List.of(result(windowed).named(AutoStrategy.WINDOWS))));
      repairs.accepted(Plan.identity(spec.layers()));
    }
    double reached =
        outcomes.stream()
            .filter(outcome -> result(outcome).reached())
            .mapToDouble(outcome -> result(outcome).quality().divergence().mean())
            .min()
            .orElse(Double.POSITIVE_INFINITY);
    outcomes.add(sharing(strategy.layerwise(), reached));
    outcomes.sort(
        Comparator.comparing((SearchOutcome outcome) -> !result(outcome).reached())
            .thenComparing(StrategySearch::missing)
            .thenComparing(outcome -> result(outcome).quality().divergence().mean()));
    return outcomes.get(0).withCompared(outcomes.stream().map(StrategySearch::result).toList());
  }

  private static StrategyResult result(SearchOutcome outcome) {
    return outcome.compared().get(0);
  }

  private static int missing(SearchOutcome outcome) {
    return outcome.wantedSharedLayers() - outcome.plan().reducedLayers();
  }

  /** The papers' search; further limits are looked at when it has ended. */
  private SearchOutcome ordered(CandidateOrder order) {
    List<CandidatePair> ranking = ranking(order, distances, spec, acrossKinds);
    return new SharingSearch(ranking, this::mayShare, similarities, listener)
        .run(spec.layers(), goals.sharing().getAsInt(), limits.threshold());
  }

  private SearchOutcome measured(CandidateOrder order, SearchOutcome outcome) {
    RepairQuality quality = repairs.quality(outcome.plan());
    boolean reached = outcome.reached() && limits.hold(quality);
    return outcome.withCompared(
        List.of(
            new StrategyResult(
                order.strategy(),
                outcome.plan(),
                reached ? StrategyResult.Ending.REACHED : StrategyResult.Ending.LIMITED,
                quality)));
  }

  private SearchOutcome sharing(LayerwiseStrategy strategy, double outdone) {
    return layerwise(strategy, new NearestSource(spec, acrossKinds))
        .run(goals.sharing().getAsInt(), limits, outdone);
  }

  private SearchOutcome windowed(LayerwiseStrategy strategy) {
    return layerwise(strategy, new WindowedLayer(spec, goals.window()))
        .run(goals.windowed().getAsInt(), limits, Double.POSITIVE_INFINITY);
  }

  private LayerwiseSearch layerwise(LayerwiseStrategy strategy, LayerReduction reduction) {
    return new LayerwiseSearch(strategy, reduction, distances, repairs, listener);
  }

  private boolean mayShare(SharingMap map) {
    return IntStream.range(0, map.layers())
        .allMatch(layer -> spec.mayShare(layer, map.source(layer), acrossKinds));
  }
}
