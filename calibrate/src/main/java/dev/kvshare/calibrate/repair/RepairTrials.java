package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.repair.fit.Fits;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Measures plans as they are when repaired, many over the same passages. The unshared model runs
 * once; each plan resumes at the first layer at which it differs from the accepted one.
 *
 * <p>Memory for N tokens: 5 x L streams of N x E numbers and the keys and values of all layers, so
 * a few thousand tokens (SmolLM2 with 6,000: 2.3 GB).
 */
public final class RepairTrials implements AutoCloseable {
  private final LayerwiseRepair.Setting setting;
  private final RepairQuality.Meter meter;
  private LayerwiseRepair accepted;

  /** Trials of plans of one model, which outlives them; the unshared model is run. */
  public RepairTrials(Decoder decoder, RepairSettings settings, RepairPassages passages) {
    List<RepairPassages.Batch> batches = RepairPassages.Batch.of(passages, Repair.MAX_BATCH_TOKENS);
    ReferenceStream reference = new ReferenceStream(decoder, batches, true);
    this.setting =
        new LayerwiseRepair.Setting(
            decoder, new Fits(decoder), batches, reference, settings, Repair.MAX_KEPT_BYTES);
    this.meter = new RepairQuality.Meter(decoder, batches, reference);
    this.accepted =
        new LayerwiseRepair(setting, Plan.identity(decoder.spec().layers()), null, true);
    accepted.run(done -> {});
  }

  /** The accepted plan; the identity at first. */
  public Plan accepted() {
    return accepted.plan();
  }

  /** How near a plan comes when repaired; {@code done} is told the layers done, after each. */
  public RepairQuality quality(Plan plan, IntConsumer done) {
    try (LayerwiseRepair trial = new LayerwiseRepair(setting, plan, accepted, false)) {
      trial.run(done);
      return meter.quality(trial::last);
    }
  }

  /** A plan as it is with the checkpoint's weights. */
  public RepairQuality plain(Plan plan) {
    return meter.quality(CacheOptions.of(plan));
  }

  /** Later plans resume from this one; {@code done} is told the layers done, after each. */
  public void accept(Plan plan, IntConsumer done) {
    LayerwiseRepair trial = new LayerwiseRepair(setting, plan, accepted, true);
    try {
      trial.run(done);
    } catch (RuntimeException | Error e) {
      trial.close();
      throw e;
    }
    trial.adoptBase();
    accepted.close();
    accepted = trial;
  }

  @Override
  public void close() {
    accepted.close();
    setting.fits().close();
    setting.reference().close();
  }
}
