package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.family.spec.WeightRole;
import java.util.Set;

/**
 * How a repaired map is healed.
 *
 * @param roles the matrices that are trained, with their biases, in every layer from the first that
 *     shares on
 * @param steps changes of the weights
 * @param windowsPerStep windows whose loss is taken together for one step
 * @param windowsAtOnce windows that run through the model together; less takes less memory
 * @param rate learning rate behind the warm-up; it falls to 0 in a straight line
 * @param warmUpSteps steps over which the rate rises
 * @param judgements how often the weights are judged on validation windows, the last time at the
 *     end; the best are kept
 * @param judgedTokens most tokens that judge
 */
public record HealingSettings(
    Set<WeightRole> roles,
    int steps,
    int windowsPerStep,
    int windowsAtOnce,
    double rate,
    int warmUpSteps,
    int judgements,
    int judgedTokens) {

  /** 40 steps of 8 windows, 80,000 tokens where a window has 256. */
  public static final HealingSettings DEFAULT =
      new HealingSettings(
          Set.of(WeightRole.QUERY_KEY_VALUE, WeightRole.OUTPUT, WeightRole.DOWN),
          40,
          8,
          4,
          1e-4,
          5,
          4,
          4096);

  /** Checks the values. */
  public HealingSettings {
    roles = Set.copyOf(roles);
    if (steps < 1
        || windowsPerStep < 1
        || windowsAtOnce < 1
        || warmUpSteps < 1
        || judgements < 1
        || judgedTokens < 1
        || !(rate > 0)) {
      throw new IllegalArgumentException(
          "%d steps of %d windows, %d at once, at rate %s with %d steps of warm-up, judged %d times on %d tokens: all must be greater than 0."
              .formatted(
                  steps,
                  windowsPerStep,
                  windowsAtOnce,
                  rate,
                  warmUpSteps,
                  judgements,
                  judgedTokens));
    }
  }

  /** The same with another number of steps. */
  public HealingSettings withSteps(int other) {
    return new HealingSettings(
        roles,
        other,
        windowsPerStep,
        windowsAtOnce,
        rate,
        warmUpSteps,
        Math.min(judgements, other),
        judgedTokens);
  }

  /** The rate of a step, counted from 0. */
  double rate(int step) {
    return rate * Math.min(1, (step + 1.0) / warmUpSteps) * (1 - step / (double) steps);
  }

  /** Whether the weights are judged behind a step, counted from 0. */
  boolean judgesBehind(int step) {
    return (long) (step + 1) * judgements / steps > (long) step * judgements / steps;
  }
}
