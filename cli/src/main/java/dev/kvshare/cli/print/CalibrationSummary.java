package dev.kvshare.cli.print;

import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.apply.policy.PolicyDescription;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.search.WindowsMethod;
import dev.kvshare.cli.command.CalibrationFiles;
import dev.kvshare.cli.options.ModelOptions;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;

/** What {@code calibrate} says at its end: the map, the files and what to do next. */
public final class CalibrationSummary {
  private final ModelOptions model;
  private final CalibrationFiles files;

  public CalibrationSummary(ModelOptions model, CalibrationFiles files) {
    this.model = model;
    this.files = files;
  }

  public void print(CalibrationResult result, Output output) {
    PrintWriter out = output.results();
    if (result.statistics() == null) {
      output.print(PolicyDescription.of(files.policy(), result.policy()));
      out.println();
      wrote(out, "policy", files.policy());
      output.note("");
      output.note(
          "next: " + Invocation.of("eval", model, List.of("--policy", files.policy().toString())));
      return;
    }
    out.println(result.summary());
    if (result.compared().size() > 1) {
      result.compared().forEach(line -> out.println("  " + line));
    }
    if (result.outcome().work().evaluations() > 0) {
      out.println("The search took " + result.work() + ".");
    }
    if (result.repaired() != null) {
      out.println(result.repaired());
    }
    out.println();
    PlanDescription.picture(result.policy().plan()).forEach(out::println);
    KvStatistics statistics = result.statistics();
    if (statistics != null && statistics.distances().layers() <= HeatMap.MAX_LAYERS) {
      out.println();
      out.println("Distance of the keys and values of each two layers:");
      HeatMap.lines(statistics.distances()).forEach(out::println);
    }
    out.println();
    wrote(out, "policy", files.policy());
    if (result.weights() != null) {
      wrote(out, "refitted weights", files.weights());
    }
    wrote(out, "report", files.report());
    wrote(out, "statistics", files.statistics());
    int shared = result.policy().map().sharedLayers();
    if (shared > 0 && result.weights() != null && !comparedWindows(result)) {
      output.note("");
      output.note(
          "Layers that keep the first and last tokens only instead of sharing have lost less so far:"
              + " compare --window-layers "
              + shared
              + ".");
    }
    output.note("");
    output.note("next:");
    String policy = files.policy().toString();
    output.note(
        "  "
            + Invocation.of(
                "apply",
                model,
                List.of(
                    "--policy",
                    policy,
                    "--temperature",
                    "0.8",
                    "--prompt",
                    "It was a fine morning")));
    output.note("  " + Invocation.of("eval", model, List.of("--policy", policy)));
    if (files.report() != null) {
      output.note("  open " + Invocation.quote(files.report().toString()) + " in a browser");
    }
  }

  private static boolean comparedWindows(CalibrationResult result) {
    return result.outcome().compared().stream()
        .anyMatch(found -> found.name().equals(WindowsMethod.NAME));
  }

  private static void wrote(PrintWriter out, String what, Path file) {
    if (file != null) {
      out.println("wrote the " + what + " " + file);
    }
  }
}
