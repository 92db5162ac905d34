package dev.kvshare.calibrate;

import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.report.Report;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchSettings;
import dev.kvshare.calibrate.search.WindowsMethod;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * A finished calibration.
 *
 * @param policy the best plan found with its provenance
 * @param weights the refitted weights; null where nothing was repaired or it did not help
 * @param keep what was to be kept
 * @param settings of the search; null where the plan was given
 * @param statistics what the unshared model gave; null where the plan was given
 * @param outcome the search in detail; of a given plan its similarity alone
 * @param context tokens of the text of which the summary says what is kept
 */
public record CalibrationResult(
    Policy policy,
    RefittedWeights weights,
    Keep keep,
    SearchSettings settings,
    KvStatistics statistics,
    SearchOutcome outcome,
    int context) {

  /** Whether the policy has the size that was asked for, within the limits. */
  public boolean reached() {
    return outcome.reached();
  }

  /** The result in one paragraph, with what to do when the size was not reached. */
  public String summary() {
    return new ResultText(this).summary();
  }

  /**
   * The result in plain words, a line each: what the layers do, what is kept and what that costs,
   * what sharing alone and the papers' order would have given, the plans judged, the plan as a
   * picture and the distances of the layers.
   *
   * @param byMethod the command that calibrates by another method
   */
  public List<String> lines(UnaryOperator<String> byMethod) {
    return new ResultText(this).lines(byMethod);
  }

  /**
   * What each search found whose plan was measured as repaired, a line each, the one whose plan was
   * taken at the front.
   */
  public List<String> compared() {
    return new ResultText(this).compared();
  }

  /** How much of the model was run, in words, beside what the papers' procedure runs. */
  public String work() {
    return new ResultText(this).work();
  }

  /** Whether layers share in the plan, refitted, and no plan with windows was judged beside it. */
  public boolean sharesAlone() {
    return weights != null
        && policy.map().sharedLayers() > 0
        && outcome.compared().stream().noneMatch(found -> found.name().equals(WindowsMethod.NAME));
  }

  /**
   * What is found again of numbers hidden in long texts, under the plan and by the unshared model;
   * null where it was not measured.
   */
  public Recall recall() {
    return policy.recall();
  }

  /** The same with another policy and its weights. */
  CalibrationResult with(Policy other, RefittedWeights weightsOrNull) {
    return new CalibrationResult(
        other, weightsOrNull, keep, settings, statistics, outcome, context);
  }

  /**
   * Writes the policy, the refitted weights beside it if there are any, and the report at {@link
   * #reportFile}.
   */
  public void write(Path policyFile) {
    write(policyFile, statistics == null ? null : reportFile(policyFile), null);
  }

  /**
   * Writes the policy and what else is wanted, then deletes the journal, which is not needed any
   * more.
   *
   * @param reportOrNull where the report goes; null for none
   * @param statisticsOrNull where the statistics go; null for nowhere
   */
  public void write(Path policyFile, Path reportOrNull, Path statisticsOrNull) {
    Policy written = PolicyFile.write(policy, weights, policyFile);
    try {
      writeBeside(written, reportOrNull, statisticsOrNull);
    } catch (OutputException e) {
      throw new OutputException(
          "The policy %s is written and can be used. %s".formatted(policyFile, e.getMessage()), e);
    }
    if (settings != null && settings.journal() != null) {
      try {
        Files.deleteIfExists(settings.journal());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  private void writeBeside(Policy written, Path reportOrNull, Path statisticsOrNull) {
    if (statisticsOrNull != null) {
      StatisticsFile.write(statistics, statisticsOrNull);
    }
    if (reportOrNull != null) {
      Report.write(
          new Report.Content(
              written,
              keep.toString(),
              settings,
              statistics,
              outcome,
              summary(),
              compared(),
              work()),
          reportOrNull);
    }
  }

  /** The usual place of the report: report.html beside policy.json, else NAME.report.html. */
  public static Path reportFile(Path policyFile) {
    String stem = PolicyFile.stem(policyFile);
    return policyFile.resolveSibling(stem.equals("policy") ? "report.html" : stem + ".report.html");
  }
}
