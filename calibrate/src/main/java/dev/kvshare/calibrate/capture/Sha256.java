package dev.kvshare.calibrate.capture;

import dev.kvshare.apply.model.storage.Digest;
import java.util.Arrays;
import java.util.List;

/** Digests by which a journal recognises its search. */
public final class Sha256 {
  private Sha256() {}

  /** Over the token ids of samples, each sample a line. */
  public static String of(List<int[]> samples) {
    return Digest.sha256(samples.stream().map(Arrays::toString).toList());
  }

  /** Over pairs in their order, without the distances. */
  public static String ofPairs(List<CandidatePair> pairs) {
    return Digest.sha256(pairs.stream().map(pair -> pair.layer() + " " + pair.source()).toList());
  }
}
