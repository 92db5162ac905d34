package dev.kvshare.calibrate;

import dev.kvshare.policy.SharingMap;
import java.util.List;

/**
 * What a search found.
 *
 * @param map the accepted map with the most shared layers, the identity if none was accepted
 * @param similarity its mean cosine similarity, 1 for the identity
 * @param wantedSharedLayers layers that were to share
 * @param ranking all pairs in the order of the strategy
 * @param tested the candidates that were run, in order
 * @param skipped pairs passed over because their layer shared already or because the resolved
 *     source must not be shared
 * @param work how much of the model was run
 */
public record SearchOutcome(
    SharingMap map,
    double similarity,
    int wantedSharedLayers,
    List<CandidatePair> ranking,
    List<TestedCandidate> tested,
    int skipped,
    LayerWork work) {
  public SearchOutcome {
    ranking = List.copyOf(ranking);
    tested = List.copyOf(tested);
  }

  /** Whether as many layers share as were wanted. */
  public boolean reached() {
    return map.sharedLayers() >= wantedSharedLayers;
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
   * The highest similarity among refused maps that had the wanted size, NaN if there was none: a
   * threshold below it can reach the size.
   */
  public double sufficientSimilarity() {
    return tested.stream()
        .filter(candidate -> !candidate.accepted())
        .filter(candidate -> candidate.map().sharedLayers() >= wantedSharedLayers)
        .mapToDouble(TestedCandidate::similarity)
        .max()
        .orElse(Double.NaN);
  }
}
