package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.plan.Plan;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Judges plans as they are when repaired, many over the same windows. The unshared model runs once;
 * each plan resumes at the first layer at which it differs from the accepted one.
 *
 * <p>Memory for N tokens: 5 x L streams of N x E numbers and the keys and values of all layers, so
 * a few thousand tokens (SmolLM2 with 6,000: 2.3 GB).
 */
public final class RepairBench implements AutoCloseable {
  private final WalkSetting setting;
  private final QualityJudge judge;
  private RepairWalk accepted;

  RepairBench(Decoder decoder, RepairSettings settings, RepairPassages windows) {
    List<PassageBatch> batches = PassageBatch.of(windows, settings.maxBatchTokens());
    ReferenceStream reference = new ReferenceStream(decoder, batches, true);
    this.setting =
        new WalkSetting(decoder, decoder.parts(), decoder.newFits(), batches, reference, settings);
    this.judge = new QualityJudge(decoder, batches, reference);
    this.accepted = new RepairWalk(setting, Plan.identity(decoder.spec().layers()), null, true);
    accepted.run(done -> {});
  }

  /** The accepted plan; the identity at first. */
  public Plan accepted() {
    return accepted.plan();
  }

  /**
   * How near a plan comes to the unshared model when repaired.
   *
   * @param done told the number of layers that are done, after each
   */
  public RepairQuality quality(Plan plan, IntConsumer done) {
    try (RepairWalk walk = new RepairWalk(setting, plan, accepted, false)) {
      walk.run(done);
      return judge.quality(walk::last);
    }
  }

  /** A plan as it is with the checkpoint's weights. */
  public RepairQuality plain(Plan plan) {
    return judge.plain(plan);
  }

  /**
   * Later plans resume from this one.
   *
   * @param done told the number of layers that are done, after each
   */
  public void accept(Plan plan, IntConsumer done) {
    RepairWalk walk = new RepairWalk(setting, plan, accepted, true);
    try {
      walk.run(done);
    } catch (RuntimeException | Error e) {
      walk.close();
      throw e;
    }
    walk.adoptBase();
    accepted.close();
    accepted = walk;
  }

  @Override
  public void close() {
    accepted.close();
    setting.fits().close();
    setting.reference().close();
  }
}
