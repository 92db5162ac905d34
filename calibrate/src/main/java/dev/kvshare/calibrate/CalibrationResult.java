package dev.kvshare.calibrate;

import dev.kvshare.apply.policy.Policy;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.search.SearchOutcome;
import java.util.List;

/**
 * A finished calibration.
 *
 * @param policy the best map found with its provenance
 * @param settings what was asked for
 * @param statistics what the unshared model gave; can be kept with {@link StatisticsFile}
 * @param outcome the search in detail; {@link SearchOutcome#reached} tells whether the policy has
 *     the size that was asked for
 * @param textTokens length of the text for which the summary says what windowed layers keep
 */
public record CalibrationResult(
    Policy policy,
    CalibrationSettings settings,
    KvStatistics statistics,
    SearchOutcome outcome,
    int textTokens) {

  /** The same with another policy of the same map, such as a repaired one. */
  public CalibrationResult withPolicy(Policy other) {
    return new CalibrationResult(other, settings, statistics, outcome, textTokens);
  }

  /** The result in one paragraph, with what to do when the size was not reached. */
  public String summary() {
    return ResultText.summary(this);
  }

  /**
   * What each strategy found whose map was measured as repaired, a line each, the one whose map was
   * taken at the front.
   */
  public List<String> compared() {
    return ResultText.compared(outcome);
  }

  /** How much of the model was run, in words, beside what the papers' procedure runs. */
  public String work() {
    return ResultText.work(outcome.work());
  }
}
