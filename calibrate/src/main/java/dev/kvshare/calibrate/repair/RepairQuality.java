package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.decoder.KvCache;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/**
 * How near a plan comes to the unshared model on the validation passages.
 *
 * @param divergence next-token distributions against the unshared model's
 * @param similarity mean cosine similarity of the last hidden states after the final norm, each
 *     passage's flattened (KVSharer, arXiv 2410.18517, section 3)
 */
public record RepairQuality(Divergence divergence, double similarity) {

  /** Compares last hidden states with the reference's on the batches that judge. */
  static final class Meter {
    private final Decoder decoder;
    private final List<RepairPassages.Batch> batches;
    private final ReferenceStream reference;
    private final List<Integer> judging;

    /**
     * @param reference run to the last layer before anything is judged
     */
    Meter(Decoder decoder, List<RepairPassages.Batch> batches, ReferenceStream reference) {
      this.decoder = decoder;
      this.batches = batches;
      this.reference = reference;
      boolean validated = batches.stream().anyMatch(RepairPassages.Batch::validation);
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
      int passages = 0;
      for (int batch : judging) {
        NDArray hidden = last.apply(batch);
        sum = sum.plus(divergence(batch, hidden));
        cosines += cosines(batch, hidden);
        passages += batches.get(batch).size();
      }
      return new RepairQuality(sum, cosines / passages);
    }

    /** What a plan comes to with some weights. */
    RepairQuality quality(CacheOptions options) {
      Divergence sum = Divergence.NONE;
      double cosines = 0;
      int passages = 0;
      for (int batch : judging) {
        RepairPassages.Batch rows = batches.get(batch);
        try (NDManager scratch = decoder.newManager();
            KvCache cache = decoder.newCache(options, rows.size(), rows.tokens());
            NDArray embedded = decoder.embed(rows.ids(scratch), cache);
            NDArray hidden = decoder.layers(embedded, cache, 0, options.map().layers())) {
          sum = sum.plus(divergence(batch, hidden));
          cosines += cosines(batch, hidden);
        }
        passages += rows.size();
      }
      return new RepairQuality(sum, cosines / passages);
    }

    private Divergence divergence(int batch, NDArray hidden) {
      Divergence sum = Divergence.NONE;
      RepairPassages.Batch rows = batches.get(batch);
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
}
