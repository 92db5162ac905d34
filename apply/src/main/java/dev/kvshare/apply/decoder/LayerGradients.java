package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.ModelWeights;
import dev.kvshare.apply.family.spec.RotarySpec;
import java.util.List;

/**
 * A TorchScript source, loaded behind {@code decoder.py} and {@code gradients.py}, whose methods
 * compute gradients of layers of a decoder. The engine lets gradients pass where a method takes
 * nothing but tensors and lists of tensors, and only through tensors that were made in such
 * methods: this makes copies of the decoder's. Made by {@link Decoder#newGradients}; closing it
 * leaves the decoder as it is.
 *
 * <p>Products are bfloat16 where the processor has them, everything else is float32.
 */
public final class LayerGradients implements AutoCloseable {
  private final ScriptModule script;
  private final ModelWeights weights;
  private final RotaryTables rotary;

  LayerGradients(ScriptModule script, ModelWeights weights, RotaryTables rotary) {
    this.script = script;
    this.weights = weights;
    this.rotary = rotary;
  }

  /**
   * Calls a method that returns a tuple or a list of tensors.
   *
   * @param owner of the results
   * @param arguments tensors, lists of tensors, and what {@link #layer} and {@link #head} give;
   *     each tensor stands in one of them only
   */
  public List<PtNDArray> run(NDManager owner, String method, Object... arguments) {
    return script.gradients((PtNDManager) owner, method, arguments);
  }

  /**
   * The arguments (weights, turns, numbers) that stand for a layer: copies of its tensors; cosines
   * and sines float32 [T, R]; its ints and floats as float64 [23].
   *
   * @param tokens T
   */
  public List<Object> layer(int layer, int tokens, NDManager owner) {
    PtNDManager manager = (PtNDManager) owner;
    weights.layers().enter(layer);
    List<PtNDArray> tensors =
        run(owner, "gradient_copies", weights.layers().layers().get(layer).tensors());
    RotarySpec kind = weights.spec().blocks().get(layer).attention().rotary();
    List<PtNDArray> turns = List.of(empty(manager));
    if (kind != null) {
      rotary.prepare(0, tokens, tokens);
      List<PtNDArray> rows =
          rotary.tables(kind).stream()
              .map(table -> script.run(manager, "cut", table, 0, 0, tokens))
              .toList();
      turns = run(owner, "gradient_copies", rows);
    }
    return List.of(
        tensors,
        turns,
        script.run(manager, "gradient_numbers", layer, weights.layers().numbers().layers()));
  }

  /**
   * The arguments (model, numbers) that stand for the final norm and the output head: copies of the
   * tensors outside the layers without the embedding; ints and floats as float64 [8].
   */
  public List<Object> head(NDManager owner) {
    return List.of(
        run(owner, "gradient_copies", weights.headTensors(empty((PtNDManager) owner))),
        script.run((PtNDManager) owner, "gradient_model_numbers", weights.outer().subList(1, 3)));
  }

  private static PtNDArray empty(PtNDManager manager) {
    return manager.create(new Shape(0), DataType.FLOAT32);
  }

  @Override
  public void close() {
    script.close();
  }
}
