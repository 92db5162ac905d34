package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.repair.fit.QueryFit;
import java.util.function.IntFunction;

/**
 * The queries of the layers that share, fitted to the keys that they read ({@link QueryFit}). They
 * belong to the pass that fitted them, or to one that took them over.
 */
final class SharedQueries {
  private final LayerwiseRepair.Setting setting;
  private final Plan plan;
  private final NDManager manager;
  private final Projection[] queries;

  /**
   * @param manager that of the pass
   */
  SharedQueries(LayerwiseRepair.Setting setting, Plan plan, NDManager manager) {
    this.setting = setting;
    this.plan = plan;
    this.manager = manager;
    this.queries = new Projection[plan.map().layers()];
  }

  /** Those of a layer, null for the checkpoint's. */
  Projection get(int layer) {
    return queries[layer];
  }

  /** Whether a layer's queries are to be fitted; beside a window of the plan they stay. */
  boolean wanted(int layer) {
    return setting.settings().queries().steps() > 0
        && !plan.map().ownsCache(layer)
        && !plan.windowedLayers().contains(layer);
  }

  /**
   * Fits the queries of a layer; those of the checkpoint stay where others do not bring it nearer.
   *
   * @param before the stream before the layer [B, T, E] of each batch
   * @param keys those that the layer reads, by batch
   */
  void fit(int layer, NDArray[] before, IntFunction<NDArray> keys) {
    try (NDManager scratch = setting.decoder().newManager();
        QueryFit fit = setting.fits().newQueries(layer, scratch)) {
      for (int batch = 0; batch < before.length; batch++) {
        boolean judges = setting.batches().get(batch).validation();
        fit.add(
            setting.reference().step(batch, layer, Part.ATTENTION).x(),
            before[batch],
            keys.apply(batch),
            setting.queryStride(judges),
            judges);
      }
      queries[layer] = fit.solve(setting.settings().queries(), manager).queries();
    }
  }

  /** Uses what another pass has below a layer. */
  void copy(SharedQueries other, int layers) {
    System.arraycopy(other.queries, 0, queries, 0, layers);
  }

  /** Takes over the queries of a layer. */
  void own(int layer) {
    if (queries[layer] != null) {
      queries[layer].weight().attach(manager);
      queries[layer].bias().attach(manager);
    }
  }
}
