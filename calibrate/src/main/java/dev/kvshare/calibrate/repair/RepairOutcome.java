package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.repair.fit.ProjectionFit.FittedPart;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * A repaired plan.
 *
 * @param plan the plan
 * @param weights the refitted tensors with the values that the file of a policy holds; none where
 *     nothing was refitted
 * @param fits what each fit of a projection did, bottom first
 * @param plain the plan with the checkpoint's weights, on the validation passages
 * @param repaired the plan with the refitted weights, on the validation passages
 */
public record RepairOutcome(
    Plan plan,
    RefittedWeights weights,
    List<FittedPart> fits,
    RepairQuality plain,
    RepairQuality repaired) {

  /** Copies the list. */
  public RepairOutcome {
    fits = List.copyOf(fits);
  }

  /** What a pass that was run to the top found. */
  static RepairOutcome of(Decoder decoder, LayerwiseRepair repair, RepairQuality.Meter meter) {
    RefittedWeights weights = weights(decoder, repair);
    Plan plan = repair.plan();
    if (weights.names().isEmpty()) {
      RepairQuality plain = meter.quality(repair::last);
      return new RepairOutcome(plan, weights, repair.reports(), plain, plain);
    }
    try (WeightOverrides overrides = decoder.newOverrides(weights)) {
      return new RepairOutcome(
          plan,
          weights,
          repair.reports(),
          meter.quality(CacheOptions.of(plan)),
          meter.quality(new CacheOptions(plan, overrides)));
    }
  }

  /** What a pass that was run to the top refitted, as a policy stores it. */
  static RefittedWeights weights(Decoder decoder, LayerwiseRepair repair) {
    try (NDManager scratch = decoder.newManager()) {
      SortedMap<String, NDArray> tensors = new TreeMap<>();
      List<Map<Part, Projection>> projections = repair.projections();
      for (int layer = 0; layer < projections.size(); layer++) {
        for (Map.Entry<Part, Projection> entry : projections.get(layer).entrySet()) {
          WeightRole role = entry.getKey().projection();
          tensors.putAll(decoder.tensors(layer, role, entry.getValue(), scratch));
        }
        Projection queries = repair.queries(layer);
        if (queries != null) {
          tensors.putAll(decoder.tensors(layer, WeightRole.QUERY_KEY_VALUE, queries, scratch));
        }
      }
      return RefittedWeights.of(tensors);
    }
  }

  /** Whether the repair brought the plan nearer to the unshared model. */
  public boolean improves() {
    return !weights.names().isEmpty() && repaired.divergence().mean() < plain.divergence().mean();
  }

  /** The refitted tensors where they bring the plan nearer to the unshared model, else null. */
  public RefittedWeights weightsOrNull() {
    return improves() ? weights : null;
  }

  /** The policy of the plan that was repaired, with what was measured. */
  public Policy policy(Policy policy) {
    RepairQuality quality = improves() ? repaired : plain;
    Provenance.Validation validation =
        new Provenance.Validation(
            quality.divergence().positions(),
            quality.similarity(),
            quality.divergence().mean(),
            quality.divergence().perplexityRatio(),
            quality.divergence().agreement(),
            plain.divergence().mean());
    return policy.withCalibration(origin -> origin.validation = validation);
  }
}
