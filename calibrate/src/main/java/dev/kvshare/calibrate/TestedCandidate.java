package dev.kvshare.calibrate;

import dev.kvshare.policy.SharingMap;

/**
 * One step of the search: a candidate that was run on the samples.
 *
 * @param rank place of the pair in the candidate order, from 0
 * @param pair the pair of layers
 * @param map the map that was tested, chains resolved
 * @param similarity mean over samples of the cosine of the flattened last hidden states (after the
 *     final norm) with those of the unshared model
 * @param accepted whether the similarity is greater than the threshold
 */
public record TestedCandidate(
    int rank, CandidatePair pair, SharingMap map, double similarity, boolean accepted) {}
