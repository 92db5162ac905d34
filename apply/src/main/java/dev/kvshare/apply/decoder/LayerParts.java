package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.script.ScriptNumbers;
import dev.kvshare.apply.decoder.weights.LayerWeights;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import java.util.Arrays;

/**
 * Runs the layers of a decoder part by part, so that the last projection of a part can be fitted to
 * other inputs. Letters: B batch, T tokens, E hidden size, Hq and Hkv heads, D head size, F
 * intermediate size. Sequences begin at position 0; nothing is padded.
 *
 * <p>A layer is run as
 *
 * <pre>
 * entering  = heads(layer, x, cache)                 [B, T, Hq * D]
 * between   = add(layer, ATTENTION, x, project(layer, ATTENTION, entering))
 * entering' = inner(layer, x, between)               [B, T, F]
 * after     = add(layer, FEED_FORWARD, between, project(layer, FEED_FORWARD, entering'))
 * </pre>
 *
 * <p>Made by {@link Decoder#parts}. Every tensor is in the compute type; a result belongs to the
 * manager of the first tensor given.
 */
public final class LayerParts implements AutoCloseable {
  private final KvCache.Storage storage;
  private final LayerWeights layers;
  private final ScriptNumbers numbers;
  private final RotaryTables rotary;

  /** A part of a layer. */
  public enum Part {
    /** Attention; ends with the output projection. */
    ATTENTION(WeightRole.OUTPUT, 0),
    /** Feed-forward; ends with the down projection. */
    FEED_FORWARD(WeightRole.DOWN, 1);

    private final WeightRole projection;
    private final int code;

    /**
     * @param code the script's number for the part
     */
    Part(WeightRole projection, int code) {
      this.projection = projection;
      this.code = code;
    }

    /** The part's last projection. */
    public WeightRole projection() {
      return projection;
    }
  }

  /**
   * Keys and values of one layer.
   *
   * @param keys after rotary embedding [B, Hkv, T, D]
   * @param values [B, Hkv, T, D]
   */
  public record KeyValues(NDArray keys, NDArray values) implements AutoCloseable {
    @Override
    public void close() {
      keys.close();
      values.close();
    }
  }

  /**
   * A linear map with a bias, F inputs to E outputs. Closing it frees both tensors.
   *
   * @param weight float32 [E, F]
   * @param bias float32 [E]
   */
  public record Projection(NDArray weight, NDArray bias) implements AutoCloseable {
    @Override
    public void close() {
      weight.close();
      bias.close();
    }
  }

  /**
   * @param numbers those of the layers, or others that a plan needs
   */
  LayerParts(KvCache.Storage storage, ScriptNumbers numbers, RotaryTables rotary) {
    this.storage = storage;
    this.layers = storage.weights().layers();
    this.numbers = numbers;
    this.rotary = rotary;
  }

  /** Whether a part ends with one projection; the routed experts of a layer have several. */
  public boolean hasProjection(int layer, Part part) {
    return storage.spec().blocks().get(layer).weights().containsKey(part.projection());
  }

  /** Room for the keys and values of a layer; they belong to the manager of {@code like}. */
  public KeyValues newKeyValues(int layer, NDArray like) {
    AttentionSpec attention = storage.spec().blocks().get(layer).attention();
    Shape shape =
        new Shape(
            like.getShape().get(0),
            attention.keyValueHeads(),
            like.getShape().get(1),
            attention.headSize());
    PtNDManager manager = (PtNDManager) like.getManager();
    return new KeyValues(
        storage.script().zeros(manager, shape, storage.type()),
        storage.script().zeros(manager, shape, storage.type()));
  }

  /**
   * What enters the output projection.
   *
   * @param x the residual stream before the layer [B, T, E]
   * @param cache of this layer or of the one that it reads
   * @param owns whether the layer writes the cache first
   * @return [B, T, Hq * D]
   */
  public NDArray heads(int layer, NDArray x, KeyValues cache, boolean owns) {
    return heads(null, layer, x, cache, owns, false);
  }

  /**
   * The same of a layer that shares, with other queries and the input of an own-token projection.
   *
   * @param queriesOrNull weight [Hq * D, E], bias [Hq * D]; null for the checkpoint's
   * @param x the residual stream before the layer [B, T, E]
   * @param cache of the layer that it reads
   * @param own whether the input of the queries stands behind what the heads give
   * @return [B, T, Hq * D], with {@code own} [B, T, Hq * D + E]
   */
  public NDArray headsWith(
      Projection queriesOrNull, int layer, NDArray x, KeyValues cache, boolean own) {
    return heads(queriesOrNull, layer, x, cache, false, own);
  }

  private NDArray heads(
      Projection queries, int layer, NDArray x, KeyValues cache, boolean owns, boolean own) {
    int tokens = Math.toIntExact(x.getShape().get(1));
    rotary.prepare(0, tokens, tokens);
    layers.enter(layer);
    try (PtNDArray weight = converted(x, queries == null ? null : queries.weight());
        PtNDArray bias = converted(x, queries == null ? null : queries.bias())) {
      return run(
          x,
          "part_heads",
          layer,
          ScriptNumbers.flag(own),
          weight,
          bias,
          layers.weights(),
          numbers.layers(),
          numbers.kinds(),
          cache.keys(),
          cache.values(),
          ScriptNumbers.flag(owns),
          rotary.tables());
    }
  }

  /**
   * What enters the down projection; where experts have several, what they give together.
   *
   * @param x the residual stream before the layer [B, T, E], which only parallel parts read
   * @param between the residual stream with attention added [B, T, E]
   * @return [B, T, F]; [B, T, E] of experts
   */
  public NDArray inner(int layer, NDArray x, NDArray between) {
    storage.weights().countRun(x.getShape().get(0) * x.getShape().get(1), 1);
    return runPart("part_inner", layer, x, between, layer);
  }

  /**
   * A projection in place of a part's last one.
   *
   * @param entering [B, T, Hq * D] or [B, T, F]
   * @param projection float32; converted to the compute type
   * @return [B, T, E]
   */
  public NDArray project(Projection projection, NDArray entering) {
    try (PtNDArray weight = converted(entering, projection.weight());
        PtNDArray bias = converted(entering, projection.bias())) {
      return run(entering, "linear", weight, bias, 1);
    }
  }

  /**
   * The part's last projection.
   *
   * @param entering [B, T, Hq * D] or [B, T, F]
   * @return [B, T, E]; of experts what is given
   */
  public NDArray project(int layer, Part part, NDArray entering) {
    return runPart("part_project", layer, entering, layer, part.code);
  }

  /**
   * The residual stream behind a part, with the norms and scales of the layer.
   *
   * @param x the residual stream before the part [B, T, E]
   * @param projected what the part's projection gave [B, T, E]
   * @return [B, T, E]
   */
  public NDArray add(int layer, Part part, NDArray x, NDArray projected) {
    return runPart("part_add", layer, x, projected, layer, part.code);
  }

  /**
   * What a part's projection must give so that a stream becomes the reference's behind the part.
   * Where a norm stands between the projection and the sum (Gemma 2, OLMo 2), the missing
   * difference is divided by the norm's weight and multiplied by the root mean square of the
   * reference's projected output. Parallel parts are taken one after the other: attention is to
   * give the reference's stream with attention alone added.
   *
   * @param reference the reference's residual stream before the part [B, T, E]
   * @param x the stream before the part [B, T, E]
   * @param expected what the reference's projection gave [B, T, E]
   * @return float32 [B, T, E]
   */
  public NDArray target(int layer, Part part, NDArray reference, NDArray x, NDArray expected) {
    return runPart("part_target", layer, reference, x, expected, layer, part.code);
  }

  /**
   * How much an error of the projection counts at each token: 1 over the squared length of the
   * reference's residual stream behind the part.
   *
   * @param reference the reference's residual stream before the part [B, T, E]
   * @param expected what the reference's projection gave [B, T, E]
   * @return float32 [B, T]
   */
  public NDArray tokenWeights(int layer, NDArray reference, NDArray expected) {
    return runPart("part_weight", layer, reference, expected, layer);
  }

  /** Frees what a plan needed; nothing else. */
  @Override
  public void close() {
    if (numbers != layers.numbers()) {
      numbers.close();
    }
  }

  /** In the compute type; an empty tensor for null. */
  private PtNDArray converted(NDArray owner, NDArray tensorOrNull) {
    PtNDManager manager = (PtNDManager) owner.getManager();
    return tensorOrNull == null
        ? storage.script().zeros(manager, new Shape(0), storage.type())
        : storage.script().convert(manager, (PtNDArray) tensorOrNull, storage.type());
  }

  private PtNDArray runPart(String method, int layer, NDArray first, Object... arguments) {
    layers.enter(layer);
    return run(first, method, Arrays.asList(arguments), layers.weights(), numbers.layers());
  }

  private PtNDArray run(NDArray first, String method, Object... arguments) {
    PtNDManager manager = (PtNDManager) first.getManager();
    return storage.script().run(manager, method, first, Arrays.asList(arguments));
  }
}
