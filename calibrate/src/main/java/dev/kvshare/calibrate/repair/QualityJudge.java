package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.plan.Plan;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/** Compares last hidden states with the reference's on the batches that judge. */
final class QualityJudge {
  private final Decoder decoder;
  private final List<PassageBatch> batches;
  private final ReferenceStream reference;
  private final List<Integer> judging;

  /**
   * @param reference run to the last layer before anything is judged
   */
  QualityJudge(Decoder decoder, List<PassageBatch> batches, ReferenceStream reference) {
    this.decoder = decoder;
    this.batches = batches;
    this.reference = reference;
    boolean validated = batches.stream().anyMatch(PassageBatch::validation);
    this.judging =
        IntStream.range(0, batches.size())
            .filter(batch -> !validated || batches.get(batch).validation())
            .boxed()
            .toList();
  }

  /** Everything about the states [B, T, E] behind the last layer of each batch. */
  RepairQuality quality(IntFunction<NDArray> last) {
    Divergence sum = Divergence.NONE;
    double cosines = 0;
    int windows = 0;
    for (int batch : judging) {
      NDArray hidden = last.apply(batch);
      sum = sum.plus(divergence(batch, hidden));
      cosines += cosines(batch, hidden);
      windows += batches.get(batch).size();
    }
    return new RepairQuality(sum, cosines / windows);
  }

  /** A plan with the checkpoint's weights. */
  RepairQuality plain(Plan plan) {
    Divergence sum = Divergence.NONE;
    double cosines = 0;
    int windows = 0;
    for (int batch : judging) {
      PassageBatch rows = batches.get(batch);
      try (NDManager scratch = decoder.newManager();
          KvCache cache = decoder.newCache(CacheOptions.of(plan), rows.size(), rows.tokens());
          NDArray embedded = decoder.embed(rows.ids(scratch), cache);
          NDArray hidden = decoder.layers(embedded, cache, 0, plan.map().layers())) {
        sum = sum.plus(divergence(batch, hidden));
        cosines += cosines(batch, hidden);
      }
      windows += rows.size();
    }
    return new RepairQuality(sum, cosines / windows);
  }

  private Divergence divergence(int batch, NDArray hidden) {
    Divergence sum = Divergence.NONE;
    PassageBatch rows = batches.get(batch);
    for (int row = 0; row < rows.size(); row++) {
      try (NDManager scratch = decoder.newManager();
          NDArray expected = reference.last(batch).get(row + ":" + (row + 1));
          NDArray actual = hidden.get(row + ":" + (row + 1))) {
        sum = sum.plus(decoder.divergence(expected, actual, rows.following(scratch, row)));
      }
    }
    return sum;
  }

  private double cosines(int batch, NDArray hidden) {
    try (NDArray expected = decoder.finalNorm(reference.last(batch));
        NDArray actual = decoder.finalNorm(hidden);
        NDArray a = expected.reshape(batches.get(batch).size(), -1);
        NDArray b = actual.reshape(batches.get(batch).size(), -1);
        NDArray products = a.mul(b);
        NDArray dot = products.sum(new int[] {1});
        NDArray firstLength = a.norm(new int[] {1});
        NDArray secondLength = b.norm(new int[] {1});
        NDArray lengths = firstLength.mul(secondLength);
        NDArray cosines = dot.div(lengths);
        NDArray sum = cosines.sum()) {
      return sum.getFloat();
    }
  }
}
