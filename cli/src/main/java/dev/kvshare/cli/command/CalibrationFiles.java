package dev.kvshare.cli.command;

import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.cli.options.CalibrateOptions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

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
  private static final String JSON = ".json";
  private static final int REPORT_HEAD_BYTES = 4096;

  /** What a report says of its origin in its head. */
  private static final String REPORT_MARK =
      "<meta name=\"generator\" content=\"kvshare calibrate\">";

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
      statistics = policy.resolveSibling(stem(policy) + ".stats.safetensors");
    }
    if (!options.force) {
      if (options.out != null || !isPolicy(policy)) {
        OutputFiles.requireNew(policy, "--out");
        OutputFiles.requireNew(PolicyFile.weightsFile(policy), "--out");
      }
      if (options.report != null || !isReport(report)) {
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

  private static String stem(Path policy) {
    String name = policy.getFileName().toString();
    return name.endsWith(JSON) ? name.substring(0, name.length() - JSON.length()) : name;
  }

  private static boolean isPolicy(Path file) {
    if (!Files.isRegularFile(file)) {
      return false;
    }
    try {
      PolicyFile.read(file);
      return true;
    } catch (PolicyException.Version e) {
      return true;
    } catch (PolicyException e) {
      return false;
    }
  }

  private static boolean isReport(Path file) {
    if (file == null || !Files.isRegularFile(file)) {
      return false;
    }
    try (var in = Files.newInputStream(file)) {
      return new String(in.readNBytes(REPORT_HEAD_BYTES), StandardCharsets.UTF_8)
          .contains(REPORT_MARK);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
