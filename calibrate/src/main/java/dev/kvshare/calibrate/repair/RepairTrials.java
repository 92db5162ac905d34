package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.repair.fit.Fits;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Measures plans as they are when repaired, many over the same passages. The unshared model runs
 * once, and its streams are kept.
 *
 * <p>Memory for N tokens: 2 x L streams of N x E numbers where attention alone is refitted, else 4
 * x L; so a few thousand tokens.
 */
public final class RepairTrials implements AutoCloseable {
  private final LayerwiseRepair.Setting setting;
  private final RepairQuality.Meter meter;

  /** Trials of plans of one model, which outlives them; the unshared model is run. */
  public RepairTrials(Decoder decoder, RepairSettings settings, RepairPassages passages) {
    List<RepairPassages.Batch> batches = RepairPassages.Batch.of(passages, Repair.MAX_BATCH_TOKENS);
    ReferenceStream reference = new ReferenceStream(decoder, batches, settings.parts());
    this.setting =
        new LayerwiseRepair.Setting(
            decoder, new Fits(decoder), batches, reference, settings, Repair.MAX_KEPT_BYTES);
    this.meter = new RepairQuality.Meter(decoder, batches, reference);
  }

  /**
   * A plan that was repaired.
   *
   * @param quality how near it comes
   * @param weights the refitted tensors; none where nothing was refitted
   */
  public record Trial(RepairQuality quality, RefittedWeights weights) {}

  /** Repairs a plan; {@code done} is told the layers done, after each. */
  public Trial trial(Plan plan, IntConsumer done) {
    try (LayerwiseRepair trial = new LayerwiseRepair(setting, plan)) {
      trial.run(done);
      return new Trial(meter.quality(trial::last), RepairOutcome.weights(setting.decoder(), trial));
    }
  }

  /**
   * The same without any repair: the layers from the first reduced one on run, nothing is fitted.
   */
  public RepairQuality unrepaired(Plan plan, IntConsumer done) {
    try (LayerwiseRepair trial = new LayerwiseRepair(setting.withoutFits(), plan)) {
      trial.run(done);
      return meter.quality(trial::last);
    }
  }

  @Override
  public void close() {
    setting.fits().close();
    setting.reference().close();
  }
}
