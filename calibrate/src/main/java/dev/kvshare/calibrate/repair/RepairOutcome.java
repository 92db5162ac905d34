package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.Projection;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.Plan;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/** A repaired plan; closing it frees the tensors. */
public final class RepairOutcome implements AutoCloseable {
  private final Plan plan;
  private final NDManager manager;
  private final SortedMap<String, NDArray> tensors = new TreeMap<>();
  private final List<FittedPart> fits;
  private final RepairQuality plain;
  private final RepairQuality repaired;

  private RepairOutcome(
      Plan plan,
      NDManager manager,
      List<FittedPart> fits,
      RepairQuality plain,
      RepairQuality repaired) {
    this.plan = plan;
    this.manager = manager;
    this.fits = fits;
    this.plain = plain;
    this.repaired = repaired;
  }

  /** What a walk that was run to the top found. */
  static RepairOutcome of(Decoder decoder, RepairWalk walk, QualityJudge judge) {
    RepairOutcome outcome =
        new RepairOutcome(
            walk.plan(),
            decoder.newManager(),
            walk.reports(),
            judge.plain(walk.plan()),
            judge.quality(walk::last));
    ReplaceableWeights names = ReplaceableWeights.of(decoder.spec());
    List<Map<Part, Projection>> projections = walk.projections();
    for (int layer = 0; layer < projections.size(); layer++) {
      for (Map.Entry<Part, Projection> entry : projections.get(layer).entrySet()) {
        outcome.put(names, layer, entry.getKey(), entry.getValue());
      }
      if (walk.queries().get(layer) != null) {
        decoder
            .parts()
            .queries()
            .tensors(layer, walk.queries().get(layer), outcome.manager)
            .forEach(outcome::keep);
      }
    }
    return outcome;
  }

  /** The plan that was repaired. */
  public Plan plan() {
    return plan;
  }

  /** Whether the repair brought the map nearer to the unshared model on the validation windows. */
  public boolean improves() {
    return repaired.divergence().mean() < plain.divergence().mean();
  }

  /** float32 by the checkpoint's names and in its layout, as {@link Decoder#newOverrides} takes. */
  public SortedMap<String, NDArray> tensors() {
    return Collections.unmodifiableSortedMap(tensors);
  }

  /** What each fit did, bottom first. */
  public List<FittedPart> fits() {
    return fits;
  }

  /** The map with the checkpoint's weights, on the validation windows. */
  public RepairQuality plain() {
    return plain;
  }

  /** The map as repaired, on the validation windows. */
  public RepairQuality repaired() {
    return repaired;
  }

  @Override
  public void close() {
    manager.close();
  }

  private void put(ReplaceableWeights names, int layer, Part part, Projection projection) {
    String weight = names.names(layer, part.projection()).get(0);
    boolean transposed = names.isTransposed(weight);
    long inputs = names.shape(weight).get(transposed ? 0 : 1);
    long columns = projection.weight().getShape().get(1);
    NDArray matrix = columns(projection, 0, inputs);
    if (columns > inputs) {
      keep(names.names(layer, WeightRole.OWN_TOKEN).get(0), columns(projection, inputs, columns));
    }
    if (transposed) {
      try (NDArray straight = matrix) {
        matrix = straight.transpose();
      }
    }
    keep(weight, matrix);
    keep(names.names(layer, part.projection().bias()).get(0), projection.bias().duplicate());
  }

  private static NDArray columns(Projection projection, long from, long to) {
    try (NDArray view = projection.weight().get(":, " + from + ":" + to)) {
      return view.duplicate();
    }
  }

  private void keep(String name, NDArray tensor) {
    tensor.attach(manager);
    tensors.put(name, tensor);
  }
}
