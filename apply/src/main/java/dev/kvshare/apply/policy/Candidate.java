package dev.kvshare.apply.policy;

/**
 * One tested step of a search: {@code layer} reading the keys and values of {@code source}.
 *
 * @param layer the reader
 * @param source the layer read from
 * @param distance the rank value of the pair, or null where the strategy has none
 * @param similarity mean cosine similarity of the last hidden states under the map with this step,
 *     or null where it was not measured
 * @param samples samples that {@code similarity} is the mean of where a refusal was certain before
 *     all were run, else null
 */
public record Candidate(
    int layer, int source, Double distance, Double similarity, Integer samples) {
  /** Rounds to the digits that the policy file keeps. */
  public Candidate {
    distance = Digits.round(distance);
    similarity = Digits.round(similarity);
  }
}
