package dev.kvshare.cli.print;

import dev.kvshare.apply.export.FolderExport;
import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.apply.policy.PolicyDescription;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.report.TextHeatMap;
import dev.kvshare.calibrate.search.KvSharerMethod;
import dev.kvshare.calibrate.search.ShareMethod;
import dev.kvshare.calibrate.search.WindowsMethod;
import dev.kvshare.cli.options.ModelOptions;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;

/** What {@code calibrate} says at its end: the map, the files and what to do next. */
public final class CalibrationSummary {
  private final ModelOptions model;
  private final Path policy;
  private final Path report;
  private final Path statistics;
  private final FolderExport.Target target;

  /**
   * Of files that were written.
   *
   * @param report null for none, as {@code statistics}
   * @param target what the policy was made for, null for kvshare
   */
  public CalibrationSummary(
      ModelOptions model, Path policy, Path report, Path statistics, FolderExport.Target target) {
    this.model = model;
    this.policy = policy;
    this.report = report;
    this.statistics = statistics;
    this.target = target;
  }

  /**
   * Prints what was found.
   *
   * @param byMethod the command that calibrates by another method
   */
  public void print(CalibrationResult result, UnaryOperator<String> byMethod, Output output) {
    PrintWriter out = output.results();
    if (result.statistics() == null) {
      output.print(PolicyDescription.of(policy, result.policy()));
      out.println();
      wrote(out, "policy", policy);
      output.note("");
      output.note("next: " + Invocation.of("eval", model, List.of("--policy", policy.toString())));
      return;
    }
    out.println(result.summary());
    if (result.repaired() != null) {
      out.println(result.repaired());
    }
    if (result.recall() != null) {
      out.println("Recall: " + result.recall().words() + ".");
    }
    if (result.policy().plan().windows() != null) {
      alone(result, ShareMethod.NAME, "Sharing alone loses more")
          .ifPresent(line -> out.println(line + byMethod.apply(ShareMethod.NAME)));
    }
    if (result.outcome().repaired()) {
      alone(
              result,
              KvSharerMethod.NAME,
              "The papers' order (most dissimilar layers first) loses more")
          .ifPresent(line -> out.println(line + byMethod.apply(KvSharerMethod.NAME)));
    }
    if (!result.compared().isEmpty()) {
      out.println("Plans judged:");
      result.compared().forEach(line -> out.println("  " + line));
    }
    if (result.outcome().work().evaluations() > 0) {
      out.println("The search took " + result.work() + ".");
    }
    out.println();
    if (result.statistics() == null) {
      Map<String, List<String>> facts = new LinkedHashMap<>();
      PlanDescription.addTo(facts, result.policy().plan());
      output.print(facts);
    } else {
      PlanDescription.picture(result.policy().plan()).forEach(out::println);
    }
    KvStatistics measured = result.statistics();
    if (measured != null && measured.distances().layers() <= TextHeatMap.MAX_LAYERS) {
      out.println();
      out.println("Distance of the keys and values of each two layers:");
      TextHeatMap.lines(measured.distances()).forEach(out::println);
    }
    out.println();
    wrote(out, "policy", policy);
    if (result.weights() != null) {
      wrote(out, "refitted weights", PolicyFile.weightsFile(policy));
    }
    wrote(out, "report", report);
    wrote(out, "statistics", statistics);
    int shared = result.policy().map().sharedLayers();
    boolean windows =
        result.outcome().compared().stream()
            .anyMatch(found -> found.name().equals(WindowsMethod.NAME));
    if (shared > 0 && result.weights() != null && !windows) {
      output.note("");
      output.note(
          "Layers that keep the first and last tokens only have lost less so far: compare --method windows --keep %dlayers."
              .formatted(result.policy().map().ownedLayers()));
    }
    output.note("");
    output.note("next:");
    String file = policy.toString();
    output.note(
        "  "
            + Invocation.of(
                "apply",
                model,
                List.of(
                    "--policy",
                    file,
                    "--temperature",
                    "0.8",
                    "--prompt",
                    "It was a fine morning")));
    output.note("  " + Invocation.of("eval", model, List.of("--policy", file)));
    if (target != null) {
      String name = target.name().toLowerCase(Locale.ROOT);
      List<String> words = List.of("--policy", file, "--export", name, "--out", name);
      output.note("  " + Invocation.of("apply", model, words));
    }
    if (report != null) {
      output.note("  open " + Invocation.quote(report.toString()) + " in a browser");
    }
  }

  /** What a plan that was judged too came to, where another one was taken. */
  private static Optional<String> alone(CalibrationResult result, String name, String words) {
    return result.outcome().compared().stream()
        .skip(1)
        .filter(found -> found.name().equals(name))
        .findFirst()
        .map(
            found ->
                String.format(
                    Locale.ROOT,
                    "%s: after the same short repair, KL divergence %.4f and perplexity %.3f times with %d layers. See: ",
                    words,
                    found.quality().divergence().mean(),
                    found.quality().divergence().perplexityRatio(),
                    found.plan().reducedLayers()));
  }

  private static void wrote(PrintWriter out, String what, Path file) {
    if (file != null) {
      out.println("wrote the " + what + " " + file);
    }
  }
}
