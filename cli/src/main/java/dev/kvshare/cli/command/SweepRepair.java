package dev.kvshare.cli.command;

import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.PolicySupport;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.calibrate.repair.Repair;
import dev.kvshare.calibrate.repair.RepairOutcome;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.repair.RepairedPolicy;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.eval.EvaluatedPolicy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The schemes of a sweep once more with refitted weights. Maps with sources above their readers
 * cannot be repaired and stay as they are. Closing it frees the weights.
 */
final class SweepRepair implements AutoCloseable {
  private final LoadedModel model;
  private final RepairText repairText;
  private final Corpus text;
  private final int tokens;
  private final SweepFolder folder;
  private final ProgressLine progress;
  private final Map<Plan, WeightOverrides> repaired = new HashMap<>();

  /**
   * Nothing repaired yet.
   *
   * @param text what the weights are fitted to
   * @param tokens most tokens read of it
   * @param folderOrNull where repaired policies are kept
   */
  SweepRepair(
      LoadedModel model, Corpus text, int tokens, SweepFolder folderOrNull, ProgressLine progress) {
    this.model = model;
    this.repairText = new RepairText(model);
    this.text = text;
    this.tokens = tokens;
    this.folder = folderOrNull;
    this.progress = progress;
  }

  /** Returns the schemes, each followed by itself with refitted weights where that helps. */
  List<EvaluatedPolicy> beside(List<EvaluatedPolicy> schemes) {
    List<EvaluatedPolicy> rows = new ArrayList<>();
    for (EvaluatedPolicy scheme : schemes) {
      rows.add(scheme);
      Policy policy = scheme.policy();
      Plan plan = policy.plan();
      if (plan.reducedLayers() == 0 || plan.map().hasUpwardSources()) {
        continue;
      }
      if (!repaired.containsKey(plan)) {
        repaired.put(plan, weightsOrNull(scheme));
      }
      WeightOverrides overrides = repaired.get(plan);
      if (overrides != null) {
        rows.add(new EvaluatedPolicy(scheme.name() + ", repaired", policy, overrides));
      }
    }
    return rows;
  }

  /** Null where a repair does not help. */
  private WeightOverrides weightsOrNull(EvaluatedPolicy scheme) {
    Path file = folder == null ? null : folder.policy(scheme.name());
    if (file != null && Files.exists(file)) {
      return PolicySupport.overrides(PolicyFile.read(file), file, model.decoder());
    }
    int layers = scheme.policy().map().layers();
    Plan plan = scheme.policy().plan();
    try (RepairOutcome outcome =
        new Repair(model.decoder(), RepairSettings.DEFAULT)
            .repair(
                plan,
                windows(plan),
                done -> progress.show("refitting " + scheme.name(), done, layers, ""))) {
      if (file != null) {
        RepairedPolicy.of(scheme.policy(), outcome).write(file);
      }
      return outcome.improves() ? model.decoder().newOverrides(outcome.tensors()) : null;
    }
  }

  private RepairPassages windows(Plan plan) {
    boolean windowed = !plan.windowedLayers().isEmpty();
    return RepairPassages.split(
        repairText.windows(text, tokens, windowed), RepairText.VALIDATION_SHARE);
  }

  @Override
  public void close() {
    repaired.values().stream()
        .filter(overrides -> overrides != null)
        .forEach(WeightOverrides::close);
  }
}
