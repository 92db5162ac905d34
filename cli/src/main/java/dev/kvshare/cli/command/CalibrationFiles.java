package dev.kvshare.cli.command;

import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.report.Report;
import dev.kvshare.cli.options.CalibrateOptions;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The files that a calibration writes. A file that the user named is never replaced without {@code
 * --force}; the files with default names are, if an earlier calibration wrote them.
 *
 * @param policy the policy
 * @param report the report, or null for none
 * @param statistics where to keep the statistics, or null for nowhere
 */
record CalibrationFiles(Path policy, Path report, Path statistics) {
  private static final Path DEFAULT_POLICY = Path.of("policy.json");

  /** Chooses the files and checks, before anything is computed, that they may be written. */
  static CalibrationFiles choose(CalibrateOptions given) {
    CalibrateOptions.OutputOptions options = given.files;
    CalibrateOptions.SearchOptions search = given.search;
    Path policy = options.out == null ? DEFAULT_POLICY : options.out;
    Path report = null;
    if (!options.noReport && !given.isScheme()) {
      report = options.report == null ? CalibrationResult.reportFile(policy) : options.report;
    }
    Path statistics = search.saveStats;
    if (search.savesStatsBesidePolicy()) {
      statistics = policy.resolveSibling(PolicyFile.stem(policy) + ".stats.safetensors");
    }
    if (!options.force) {
      if (options.out != null || !PolicyFile.isWritten(policy)) {
        OutputFiles.requireNew(policy, "--out");
        OutputFiles.requireNew(PolicyFile.weightsFile(policy), "--out");
      }
      if (report != null && (options.report != null || !Report.isWritten(report))) {
        OutputFiles.requireNew(report, "--report");
      }
      OutputFiles.requireNew(statistics, "--save-stats");
    }
    OutputFiles.checkWritable(policy, report, statistics);
    return new CalibrationFiles(policy, report, statistics);
  }

  /** Keeps the progress of the search until the policy is written. */
  Path journal() {
    return policy.resolveSibling(policy.getFileName() + ".journal");
  }

  /** What a calibration wrote, by what it is. */
  Map<String, Path> written(CalibrationResult result) {
    Map<String, Path> files = new LinkedHashMap<>();
    files.put("policy", policy);
    if (result.weights() != null) {
      files.put("refitted weights", PolicyFile.weightsFile(policy));
    }
    if (report != null) {
      files.put("report", report);
    }
    if (statistics != null) {
      files.put("statistics", statistics);
    }
    return files;
  }
}
