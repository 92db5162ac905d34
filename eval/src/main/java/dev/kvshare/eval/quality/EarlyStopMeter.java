package dev.kvshare.eval.quality;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.plan.IterationPlan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.eval.Variant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Runs windows with all passes of a policy and with fewer, and compares the outcomes. Letters: T
 * tokens of a window, E hidden size, V vocabulary.
 */
public final class EarlyStopMeter {
  /** Bytes of the logits [1, C, V] that are compared at once; a single position may have more. */
  private static final long LOGIT_BYTES = 64L << 20;

  private final Decoder decoder;

  public EarlyStopMeter(Decoder decoder) {
    this.decoder = decoder;
  }

  /** What was seen of one way to run the passes, summed or the largest over windows. */
  private static final class Seen {
    private long tokens;
    private long passes;
    private long layerPositions;
    private double hiddenChange;
    private double logitDifference;
    private Divergence divergence = Divergence.NONE;
  }

  /**
   * Measures one policy with several tolerances.
   *
   * @param windows token ids, each window run alone
   * @param variants the policy with all passes first
   */
  public List<EarlyStopRow> measure(List<int[]> windows, List<Variant> variants) {
    List<Seen> seen = new ArrayList<>();
    variants.forEach(variant -> seen.add(new Seen()));
    for (int[] window : windows) {
      try (NDManager scratch = decoder.newManager()) {
        Shape row = new Shape(1, window.length);
        NDArray ids = scratch.create(Arrays.stream(window).asLongStream().toArray(), row);
        NDArray targets = scratch.create(next(window), row);
        NDArray reference = null;
        for (int v = 0; v < variants.size(); v++) {
          NDArray hidden = run(ids, variants.get(v), seen.get(v));
          reference = reference == null ? hidden : reference;
          compare(reference, hidden, targets, seen.get(v));
        }
      }
    }
    List<EarlyStopRow> rows = new ArrayList<>();
    for (int v = 0; v < variants.size(); v++) {
      rows.add(row(variants.get(v), seen.get(v), windows.size()));
    }
    return rows;
  }

  /** The token behind each; -1 behind the last. */
  private static long[] next(int[] window) {
    long[] next = new long[window.length];
    for (int t = 0; t + 1 < window.length; t++) {
      next[t] = window[t + 1];
    }
    next[window.length - 1] = -1;
    return next;
  }

  /** ids int64 [1, T] to the last hidden states [1, T, E], before the final norm. */
  private NDArray run(NDArray ids, Variant variant, Seen seen) {
    int tokens = (int) ids.getShape().get(1);
    long passes = decoder.passes();
    long positions = decoder.layerPositions();
    try (KvCache cache = decoder.newCache(variant.options(), 1, tokens);
        NDArray embedded = decoder.embed(ids, cache)) {
      NDArray hidden = decoder.layers(embedded, cache, 0, cache.map().layers());
      seen.tokens += tokens;
      seen.passes += decoder.passes() - passes;
      seen.layerPositions += decoder.layerPositions() - positions;
      return hidden;
    }
  }

  private void compare(NDArray reference, NDArray hidden, NDArray targets, Seen seen) {
    seen.divergence = seen.divergence.plus(decoder.divergence(reference, hidden, targets));
    if (hidden != reference) {
      seen.hiddenChange = Math.max(seen.hiddenChange, hiddenChange(reference, hidden));
      seen.logitDifference = Math.max(seen.logitDifference, logitDifference(reference, hidden));
    }
  }

  private double hiddenChange(NDArray reference, NDArray hidden) {
    try (NDArray then = decoder.finalNorm(reference);
        NDArray now = decoder.finalNorm(hidden)) {
      int size = (int) then.getShape().get(2);
      float[] before = then.toFloatArray();
      float[] after = now.toFloatArray();
      double largest = 0;
      for (int start = 0; start < before.length; start += size) {
        double change = 0;
        double length = 0;
        for (int e = start; e < start + size; e++) {
          double difference = (double) after[e] - before[e];
          change += difference * difference;
          length += (double) before[e] * before[e];
        }
        largest = Math.max(largest, Math.sqrt(change / length));
      }
      return largest;
    }
  }

  private double logitDifference(NDArray reference, NDArray hidden) {
    int tokens = (int) hidden.getShape().get(1);
    int chunk = (int) Math.max(1, LOGIT_BYTES / Float.BYTES / decoder.spec().vocabularySize());
    double largest = 0;
    for (int start = 0; start < tokens; start += chunk) {
      String part = ":, %d:%d".formatted(start, Math.min(tokens, start + chunk));
      try (NDArray then = reference.get(part);
          NDArray now = hidden.get(part);
          NDArray expected = decoder.head(then);
          NDArray found = decoder.head(now);
          NDArray difference = found.sub(expected);
          NDArray size = difference.abs();
          NDArray most = size.max()) {
        largest = Math.max(largest, most.getFloat());
      }
    }
    return largest;
  }

  private static double tolerance(Variant variant) {
    return variant.options().plan().upward() instanceof UpwardReading.Parallel parallel
        ? parallel.tolerance()
        : 0;
  }

  private EarlyStopRow row(Variant variant, Seen seen, int windows) {
    SharingMap map = variant.options().map();
    long groups = IterationPlan.of(map).stream().filter(IterationPlan.Group::iterated).count();
    // A prompt needs nothing of the highest layer with a cache and above it but its last token.
    int skipped = map.layers() - map.highestOwner();
    Divergence divergence = seen.divergence;
    return new EarlyStopRow(
        variant.sharing(),
        tolerance(variant),
        groups == 0 ? 0 : (double) seen.passes / groups / windows,
        (double) seen.layerPositions / seen.tokens - skipped,
        seen.hiddenChange,
        seen.logitDifference,
        Math.exp(divergence.loss() / divergence.targets()),
        divergence.mean(),
        divergence.agreement(),
        null);
  }
}
