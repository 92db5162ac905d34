package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.plan.SharingMap;
import java.util.List;

/**
 * The residual stream of the unshared model over batches of passages, one part of a layer after the
 * other. Letters: B passages, T tokens, E hidden size, L layers.
 *
 * <p>Memory: the stream [B, T, E] of every batch; where steps are kept, 2 L times the stream and
 * what is added to it.
 */
final class ReferenceStream implements AutoCloseable {
  private final Decoder decoder;
  private final LayerParts parts;
  private final boolean kept;
  private final NDManager manager;
  private final Step[][] steps;
  private final NDArray[] ahead;
  private final NDArray[] layerInputs;

  /** The stream before one part of a layer and what its projection gives, both [B, T, E]. */
  record Step(NDArray x, NDArray projected) {}

  /**
   * The stream behind the embedding.
   *
   * @param kept whether every step stays; otherwise each is there once, from the bottom on
   */
  ReferenceStream(Decoder decoder, List<RepairPassages.Batch> batches, boolean kept) {
    this.decoder = decoder;
    this.parts = decoder.parts();
    this.kept = kept;
    this.manager = decoder.newManager();
    int layers = decoder.spec().layers();
    this.steps = new Step[batches.size()][2 * layers];
    this.ahead = new NDArray[batches.size()];
    this.layerInputs = new NDArray[batches.size()];
    SharingMap unshared = SharingMap.identity(layers);
    for (int batch = 0; batch < ahead.length; batch++) {
      try (NDManager scratch = decoder.newManager();
          KvCache cache = decoder.newCache(unshared, batches.get(batch).size(), 1)) {
        ahead[batch] = decoder.embed(batches.get(batch).ids(scratch), cache);
        ahead[batch].attach(manager);
      }
    }
  }

  /** One part of a layer; valid until {@link #release}. */
  Step step(int batch, int layer, Part part) {
    int index = index(layer, part);
    if (steps[batch][index] == null) {
      steps[batch][index] = run(batch, layer, part);
    }
    return steps[batch][index];
  }

  /** Says that a step is not needed any more. */
  void release(int batch, int layer, Part part) {
    int index = index(layer, part);
    if (kept || steps[batch][index] == null) {
      return;
    }
    steps[batch][index].projected().close();
    if (steps[batch][index].x() != layerInputs[batch]) {
      steps[batch][index].x().close();
    }
    steps[batch][index] = null;
  }

  /** The stream behind the last layer, before the final norm [B, T, E]; all steps were run. */
  NDArray last(int batch) {
    return ahead[batch];
  }

  @Override
  public void close() {
    manager.close();
  }

  private Step run(int batch, int layer, Part part) {
    NDArray x = ahead[batch];
    NDArray projected;
    if (part == Part.ATTENTION) {
      try (KeyValues cache = parts.newKeyValues(layer, x);
          NDArray heads = parts.heads(layer, x, cache, true)) {
        projected = parts.project(layer, part, heads);
      }
      layerInputs[batch] = isParallel(layer) ? x : null;
    } else {
      NDArray input = layerInputs[batch] == null ? x : layerInputs[batch];
      try (NDArray inner = parts.inner(layer, input, x)) {
        projected = parts.project(layer, part, inner);
      }
      if (layerInputs[batch] != null && !kept) {
        layerInputs[batch].close();
      }
      layerInputs[batch] = null;
    }
    ahead[batch] = parts.add(layer, part, x, projected);
    return new Step(x, projected);
  }

  private boolean isParallel(int layer) {
    return decoder.spec().blocks().get(layer).placement() == Placement.PARALLEL;
  }

  private static int index(int layer, Part part) {
    return 2 * layer + (part == Part.ATTENTION ? 0 : 1);
  }
}
