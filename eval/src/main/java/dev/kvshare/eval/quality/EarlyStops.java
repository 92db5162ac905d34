package dev.kvshare.eval.quality;

import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.EvaluationException;
import dev.kvshare.eval.EvaluationRequest;
import dev.kvshare.eval.Variant;
import java.util.ArrayList;
import java.util.List;

/** The ways to end passes that are compared. */
public final class EarlyStops {
  private EarlyStops() {}

  /**
   * The unshared model alone, then each policy with passes: all of them, and each tolerance.
   *
   * @throws EvaluationException if no policy has passes
   */
  public static List<List<Variant>> variants(
      Plan unshared, EvaluationRequest request, List<Double> tolerances) {
    List<List<Variant>> groups = new ArrayList<>();
    groups.add(List.of(new Variant(null, CacheOptions.of(unshared), null)));
    for (EvaluatedPolicy policy : request.policies()) {
      if (policy.policy().upward() instanceof UpwardReading.Parallel passes
          && policy.options().plan().iterates()) {
        List<Variant> group = new ArrayList<>();
        group.add(variant(policy, passes, 0));
        tolerances.forEach(tolerance -> group.add(variant(policy, passes, tolerance)));
        groups.add(group);
      }
    }
    if (groups.size() == 1) {
      throw new EvaluationException(
          "No policy has passes that could end early: that takes sources above their readers and forward_passes. Make one with `kvshare calibrate --scheme lckv`.");
    }
    return groups;
  }

  private static Variant variant(
      EvaluatedPolicy policy, UpwardReading.Parallel passes, double tolerance) {
    Plan plan = policy.options().plan();
    UpwardReading reading =
        new UpwardReading.Parallel(passes.forwardPasses(), passes.backwardPasses(), tolerance);
    return new Variant(
        policy.name(),
        new CacheOptions(
            new Plan(
                plan.map(),
                plan.slidingWindow(),
                plan.sinks(),
                plan.windowedLayers(),
                reading,
                plan.hidesOwnToken()),
            policy.overrides()),
        null);
  }
}
