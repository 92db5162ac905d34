package dev.kvshare.calibrate.capture;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/** Digests by which a journal recognises its search. */
public final class Sha256 {
  private Sha256() {}

  /** Over the token ids of samples, each sample a line. */
  public static String of(List<int[]> samples) {
    return ofLines(samples.stream().map(Arrays::toString).toList());
  }

  /** Over pairs in their order, without the distances. */
  public static String ofPairs(List<CandidatePair> pairs) {
    return ofLines(pairs.stream().map(pair -> pair.layer() + " " + pair.source()).toList());
  }

  private static String ofLines(List<String> lines) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (String line : lines) {
        digest.update((line + "\n").getBytes(StandardCharsets.UTF_8));
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
