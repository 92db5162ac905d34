package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.score.Scores;
import java.util.Comparator;
import java.util.List;

/**
 * What a search found.
 *
 * @param plan the accepted plan with the most reduced layers, the identity if none was accepted
 * @param similarity its mean cosine similarity, 1 for the identity
 * @param wantedLayers layers that were to share, or to be windowed
 * @param ranking all pairs in the order in which they are tried
 * @param tested the candidates that were run, in order
 * @param skipped pairs passed over because their layer shared already or because the resolved
 *     source must not be shared
 * @param work how much of the model was run without repair
 * @param compared what each search found whose plan was measured as repaired, the one whose plan
 *     was taken at the front; empty where nothing was repaired
 * @param scores what each action of each layer costs; null where plans are made otherwise
 */
public record SearchOutcome(
    Plan plan,
    double similarity,
    int wantedLayers,
    List<DistanceMatrix.Pair> ranking,
    List<Tested> tested,
    int skipped,
    SimilarityMeter.LayerWork work,
    List<Found> compared,
    Scores scores) {
  /**
   * One step of the search: a candidate that was run.
   *
   * @param rank place of the pair in the candidate order, from 0
   * @param pair the pair of layers
   * @param plan what was tested, chains resolved
   * @param measured its similarity with the unshared model, complete if accepted
   * @param accepted whether it became the plan of the search
   */
  public record Tested(
      int rank,
      DistanceMatrix.Pair pair,
      Plan plan,
      SimilarityMeter.Similarity measured,
      boolean accepted) {
    /** Which layer reads whose keys and values. */
    public SharingMap map() {
      return plan.map();
    }

    /** The mean similarity over the samples that were run. */
    public double similarity() {
      return measured.mean();
    }
  }

  /** Why a search ended. */
  public enum Ending {
    /** As many layers are reduced as were wanted. */
    REACHED,
    /** No more layers can be reduced within the limits. */
    LIMITED
  }

  /**
   * What one of several searches found.
   *
   * @param name of the search
   * @param plan its plan
   * @param ending why it found no more
   * @param quality the plan as repaired on the search's passages
   * @param recall what it finds again, null where it was not asked
   */
  public record Found(String name, Plan plan, Ending ending, RepairQuality quality, Recall recall) {
    /** Whether as many layers are reduced as were wanted. */
    public boolean reached() {
      return ending == Ending.REACHED;
    }

    /**
     * What plans of one size are compared by, the less the better: the KL divergence on text, and
     * on the answers to what stands far back where the plan was asked.
     */
    public double loss() {
      return quality.divergence().mean() + (recall == null ? 0 : recall.meanDivergence());
    }
  }

  /** Copies the lists. */
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
    return repaired() ? compared.get(0).reached() : plan.reducedLayers() >= wantedLayers;
  }

  /** The same with the plans of several searches that were measured as repaired. */
  SearchOutcome withCompared(List<Found> results) {
    return new SearchOutcome(
        plan, similarity, wantedLayers, ranking, tested, skipped, work, results, scores);
  }

  /** Whether the map was chosen by what it computes when repaired. */
  public boolean repaired() {
    return !compared.isEmpty();
  }

  /** The accepted candidates, in order. */
  public List<Tested> accepted() {
    return tested.stream().filter(Tested::accepted).toList();
  }

  /** The refused candidates, in order. */
  public List<Tested> rejected() {
    return tested.stream().filter(candidate -> !candidate.accepted()).toList();
  }

  /**
   * The refused map of the wanted size with the highest similarity, as far as each was measured;
   * null if none was tested.
   */
  public Tested closest() {
    return tested.stream()
        .filter(this::isRefusedGoal)
        .max(Comparator.comparingDouble(Tested::similarity))
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
    for (Tested candidate : rejected()) {
      if (candidate.similarity() > refusedBefore) {
        if (isRefusedGoal(candidate) && candidate.measured().isComplete()) {
          sufficient = roundDown(candidate.similarity(), refusedBefore);
        }
      }
      refusedBefore = Math.max(refusedBefore, candidate.measured().upperBound());
    }
    return sufficient;
  }

  private boolean isRefusedGoal(Tested candidate) {
    return !candidate.accepted() && candidate.plan().reducedLayers() >= wantedLayers;
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
