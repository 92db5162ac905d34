package dev.kvshare.cli;

import dev.kvshare.calibrate.repair.Repair;
import dev.kvshare.calibrate.repair.RepairOutcome;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.repair.RepairWindows;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.policy.Policy;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.runtime.WeightOverrides;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The configurations of a sweep once more with refitted weights. Maps with sources above their
 * readers cannot be repaired and stay as they are. Closing it frees the weights.
 */
final class SweepRepair implements AutoCloseable {
  private final Map<SharingMap, WeightOverrides> repaired = new HashMap<>();

  /**
   * Returns the policies, each followed by itself with refitted weights where that helps.
   *
   * @param text what the weights are fitted to
   * @param tokens most tokens read of it
   */
  List<EvaluatedPolicy> beside(
      List<EvaluatedPolicy> policies,
      OpenModel model,
      Corpus text,
      int tokens,
      ProgressLine progress) {
    RepairWindows windows =
        RepairWindows.split(
            new RepairText(model).windows(text, tokens), RepairText.VALIDATION_SHARE);
    Repair repair = new Repair(model.decoder(), RepairSettings.DEFAULT);
    List<EvaluatedPolicy> rows = new ArrayList<>();
    for (EvaluatedPolicy evaluated : policies) {
      rows.add(evaluated);
      Policy policy = evaluated.policy();
      SharingMap map = policy.map();
      if (map.isIdentity() || map.hasUpwardSources() || !policy.windowedLayers().isEmpty()) {
        continue;
      }
      if (!repaired.containsKey(map)) {
        try (RepairOutcome outcome =
            repair.repair(
                map,
                windows,
                done -> progress.show("refitting " + evaluated.name(), done, map.layers(), ""))) {
          repaired.put(
              map, outcome.improves() ? model.decoder().newOverrides(outcome.tensors()) : null);
        }
      }
      WeightOverrides overrides = repaired.get(map);
      if (overrides != null) {
        rows.add(new EvaluatedPolicy(evaluated.name() + ", repaired", policy, overrides));
      }
    }
    return rows;
  }

  @Override
  public void close() {
    repaired.values().stream()
        .filter(overrides -> overrides != null)
        .forEach(WeightOverrides::close);
  }
}
