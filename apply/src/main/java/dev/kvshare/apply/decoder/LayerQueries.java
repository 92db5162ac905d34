package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.script.LayerArguments;
import dev.kvshare.apply.decoder.script.LayerCall;
import dev.kvshare.apply.decoder.script.ScriptArguments;
import dev.kvshare.apply.decoder.weights.StoredWeights;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.family.spec.WeightRole;
import java.util.EnumMap;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The queries of a decoder's layers: fits to foreign keys, and their tensors. Letters: E hidden
 * size, Hq query heads, D head size. Made by {@link LayerParts#queries}.
 */
public final class LayerQueries {
  private final KvCache.Storage storage;
  private final ScriptArguments model;
  private final LayerArguments layers;
  private final RotaryTables rotary;

  LayerQueries(
      KvCache.Storage storage, ScriptArguments model, LayerArguments layers, RotaryTables rotary) {
    this.storage = storage;
    this.model = model;
    this.layers = layers;
    this.rotary = rotary;
  }

  /**
   * A fit of a layer's queries to foreign keys, without windows; the caller closes it.
   *
   * @param owner parent of what it holds
   */
  public QueryFit newFit(int layer, NDManager owner) {
    BlockSpec block = storage.spec().blocks().get(layer);
    layers.enter(layer);
    LayerArguments.Layer weights = layers.layers().get(layer);
    PtNDManager manager = (PtNDManager) owner;
    boolean biased = block.weights().containsKey(WeightRole.QUERY_KEY_VALUE_BIAS);
    try (PtNDArray weight = floats(manager, weights.tensor(WeightRole.QUERY_KEY_VALUE));
        PtNDArray bias = floats(manager, weights.tensor(WeightRole.QUERY_KEY_VALUE_BIAS))) {
      return new QueryFit(
          new LayerCall(storage.script(), layers, model, rotary, layer),
          block.attention(),
          weight,
          biased ? bias : null);
    }
  }

  /**
   * Queries by the checkpoint's names and in its layout, as {@link Decoder#newOverrides} takes
   * them.
   *
   * @param queries weight [Hq * D, E] and bias [Hq * D] of a layer
   * @param target owns the result
   */
  public SortedMap<String, NDArray> tensors(int layer, Projection queries, NDManager target) {
    SortedMap<String, NDArray> named = new TreeMap<>();
    StoredWeights stored =
        new StoredWeights(storage.script(), ReplaceableWeights.of(storage.spec()));
    layers.enter(layer);
    LayerArguments.Layer weights = layers.layers().get(layer);
    long rows = queries.weight().getShape().get(0);
    Map<WeightRole, NDArray> parts = new EnumMap<>(WeightRole.class);
    parts.put(WeightRole.QUERY_KEY_VALUE, queries.weight());
    if (weights.block().weights().containsKey(WeightRole.QUERY_KEY_VALUE_BIAS)) {
      parts.put(WeightRole.QUERY_KEY_VALUE_BIAS, queries.bias());
    }
    parts.forEach(
        (role, leading) -> {
          try (PtNDArray all = floats((PtNDManager) target, weights.tensor(role));
              PtNDArray rest = (PtNDArray) all.get(rows + ":")) {
            stored.putLeading(named, layer, role, (PtNDArray) leading, rest, (PtNDManager) target);
          }
        });
    return named;
  }

  private PtNDArray floats(PtNDManager owner, PtNDArray tensor) {
    return storage.script().convert(owner, tensor, ComputeType.FLOAT32);
  }
}
