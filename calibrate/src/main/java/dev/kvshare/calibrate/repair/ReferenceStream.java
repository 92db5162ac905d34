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
import java.util.Set;

/**
 * The residual stream of the unshared model over batches of passages, one part of a layer after the
 * other. Letters: B passages, T tokens, E hidden size, L layers.
 *
 * <p>Memory: the stream [B, T, E] of every batch; where steps are kept, L times the stream before
 * the attention and what that adds, and the same of the other part where that is fitted.
 */
final class ReferenceStream implements AutoCloseable {
  private final Decoder decoder;
  private final LayerParts parts;
  private final Set<Part> keptOrNull;
  private final NDManager manager;
  private final Step[][] steps;
  private final NDArray[] ahead;
  private final NDArray[] layerInputs;

  /** The stream before one part of a layer and what its projection gives, both [B, T, E]. */
  record Step(NDArray x, NDArray projected) {}

  /** A step that was run and is not asked for again. */
  private static final Step PASSED = new Step(null, null);

  /**
   * The stream behind the embedding.
   *
   * @param keptOrNull parts whose steps stay, those of the attention in any case; null where each
   *     step is there once, from the bottom on
   */
  ReferenceStream(Decoder decoder, List<RepairPassages.Batch> batches, Set<Part> keptOrNull) {
    this.decoder = decoder;
    this.parts = decoder.parts();
    this.keptOrNull = keptOrNull;
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
    Step step = steps[batch][index];
    boolean kept = keptOrNull != null && (part == Part.ATTENTION || keptOrNull.contains(part));
    if (step == null || step.x() == null || kept) {
      return;
    }
    step.projected().close();
    if (step.x() != layerInputs[batch]) {
      step.x().close();
    }
    steps[batch][index] = keptOrNull == null ? null : PASSED;
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
      if (layerInputs[batch] != null && keptOrNull == null) {
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
