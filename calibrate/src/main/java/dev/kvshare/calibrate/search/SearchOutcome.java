package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.LayerWork;
import java.util.Comparator;
import java.util.List;

/**
 * What a search found.
 *
 * @param plan the accepted plan with the most reduced layers, the identity if none was accepted
 * @param similarity its mean cosine similarity, 1 for the identity
 * @param wantedSharedLayers layers that were to share, or to be windowed
 * @param ranking all pairs in the order of the strategy
 * @param tested the candidates that were run, in order
 * @param skipped pairs passed over because their layer shared already or because the resolved
 *     source must not be shared
 * @param work how much of the model was run without repair
 * @param compared what each strategy found whose map was measured as repaired, the one whose map
 *     was taken at the front; empty where nothing was repaired
 */
public record SearchOutcome(
    Plan plan,
    double similarity,
    int wantedSharedLayers,
    List<CandidatePair> ranking,
    List<TestedCandidate> tested,
    int skipped,
    LayerWork work,
    List<StrategyResult> compared) {
  public SearchOutcome {
    ranking = List.copyOf(ranking);
    tested = List.copyOf(tested);
    compared = List.copyOf(compared);
  }

  /** Which layer reads whose keys and values. */
  public SharingMap map() {
    return plan.map();
  }

  /** Whether as many layers are reduced as were wanted, within the limits. */
  public boolean reached() {
    return repaired() ? compared.get(0).reached() : plan.reducedLayers() >= wantedSharedLayers;
  }

  /** The same with the maps of several strategies that were measured as repaired. */
  SearchOutcome withCompared(List<StrategyResult> results) {
    return new SearchOutcome(
        plan, similarity, wantedSharedLayers, ranking, tested, skipped, work, results);
  }

  /** Whether the map was chosen by what it computes when repaired. */
  public boolean repaired() {
    return !compared.isEmpty();
  }

  /** The accepted candidates, in order. */
  public List<TestedCandidate> accepted() {
    return tested.stream().filter(TestedCandidate::accepted).toList();
  }

  /** The refused candidates, in order. */
  public List<TestedCandidate> rejected() {
    return tested.stream().filter(candidate -> !candidate.accepted()).toList();
  }

  /**
   * The refused map of the wanted size with the highest similarity, as far as each was measured;
   * null if none was tested.
   */
  public TestedCandidate closest() {
    return tested.stream()
        .filter(this::isRefusedGoal)
        .max(Comparator.comparingDouble(TestedCandidate::similarity))
        .orElse(null);
  }

  /**
   * A threshold with which the same search would have reached the size, NaN if none is known.
   *
   * <p>A lower threshold changes the way of the search at the first refused candidate above it. It
   * is known to suffice only if that candidate already had the wanted size and was measured on all
   * samples.
   */
  public double sufficientThreshold() {
    double refusedBefore = -1;
    double sufficient = Double.NaN;
    for (TestedCandidate candidate : rejected()) {
      if (candidate.similarity() > refusedBefore) {
        if (isRefusedGoal(candidate) && candidate.measured().isComplete()) {
          sufficient = roundDown(candidate.similarity(), refusedBefore);
        }
      }
      refusedBefore = Math.max(refusedBefore, candidate.measured().upperBound());
    }
    return sufficient;
  }

  private boolean isRefusedGoal(TestedCandidate candidate) {
    return !candidate.accepted() && candidate.plan().reducedLayers() >= wantedSharedLayers;
  }

  /** The shortest decimal fraction below {@code number} that is not below {@code least}. */
  private static double roundDown(double number, double least) {
    for (double scale = 100; scale <= 1e12; scale *= 10) {
      double rounded = Math.floor(number * scale) / scale;
      if (rounded >= least && rounded < number) {
        return rounded;
      }
    }
    return least;
  }
}
