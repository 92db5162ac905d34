package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.repair.fit.Fits;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Refits projections of a model under a sharing plan, without training: at each layer from the
 * first that shares or is windowed on, the output projection of attention and the down projection
 * of the feed-forward part are chosen by ridge regression so that the residual stream becomes the
 * unshared model's again. One pass from the bottom; two streams of all passages; every layer's
 * weights are used once. Equal input gives equal weights, on one machine with one number of
 * threads.
 *
 * <p>Memory for N tokens of hidden size E with F inputs of a projection: three streams of N x E
 * numbers, the keys and values of the layers that others read, the inputs of one projection up to 1
 * GiB, and about 5 x (F + 1)^2 doubles.
 */
public final class Repair {
  /** Most tokens that run through a layer at once. */
  static final int MAX_BATCH_TOKENS = 4096;

  /** Most bytes of inputs kept between a fit and its use; what does not fit is computed again. */
  static final long MAX_KEPT_BYTES = 1L << 30;

  private final Decoder decoder;
  private final RepairSettings settings;
  private final int maxBatchTokens;
  private final long maxKeptBytes;

  /** A repair of maps of one model; it closes nothing. */
  public Repair(Decoder decoder, RepairSettings settings) {
    this(decoder, settings, MAX_BATCH_TOKENS, MAX_KEPT_BYTES);
  }

  Repair(Decoder decoder, RepairSettings settings, int maxBatchTokens, long maxKeptBytes) {
    this.decoder = decoder;
    this.settings = settings;
    this.maxBatchTokens = maxBatchTokens;
    this.maxKeptBytes = maxKeptBytes;
  }

  /**
   * Repairs a plan. The result says whether that brought it nearer to the unshared model.
   *
   * @param plan one without sources above their readers
   * @param done told the number of layers that are done, after each
   * @return to be closed by the caller
   */
  public RepairOutcome repair(Plan plan, RepairPassages passages, IntConsumer done) {
    List<RepairPassages.Batch> batches = RepairPassages.Batch.of(passages, maxBatchTokens);
    try (ReferenceStream reference = new ReferenceStream(decoder, batches, null);
        Fits fits = new Fits(decoder);
        LayerwiseRepair repair =
            new LayerwiseRepair(
                new LayerwiseRepair.Setting(
                    decoder, fits, batches, reference, settings, maxKeptBytes),
                plan)) {
      repair.run(done);
      return RepairOutcome.of(
          decoder, repair, new RepairQuality.Meter(decoder, batches, reference));
    }
  }
}
