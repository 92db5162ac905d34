package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.ModelWeights;
import java.util.Arrays;

/**
 * Further TorchScript sources, loaded behind {@code decoder.py}, whose methods compute something
 * with the layers of a decoder. Made by {@link Decoder#newScript}; closing it leaves the decoder as
 * it is.
 *
 * <p>Arguments are tensors, ints, longs and doubles; a result belongs to the manager given.
 */
public final class LayerScript implements AutoCloseable {
  private final ScriptModule script;
  private final ModelWeights weights;
  private final RotaryTables rotary;

  LayerScript(ScriptModule script, ModelWeights weights, RotaryTables rotary) {
    this.script = script;
    this.weights = weights;
    this.rotary = rotary;
  }

  /** Makes rotary tables long enough for sequences of so many tokens. */
  public void prepare(int tokens) {
    rotary.prepare(0, tokens, tokens);
  }

  /** Calls a method of the arguments alone. */
  public NDArray run(NDManager owner, String method, Object... arguments) {
    return script.run((PtNDManager) owner, method, arguments);
  }

  /**
   * Calls a method of (arguments, layer, weights, ints, floats, cosines, sines), as the model
   * itself has them; the script says what these are.
   */
  public NDArray run(int layer, NDManager owner, String method, Object... arguments) {
    weights.layers().enter(layer);
    return script.run(
        (PtNDManager) owner,
        method,
        Arrays.asList(arguments),
        layer,
        weights.layers().weights(),
        weights.layers().numbers().layers(),
        rotary.tables());
  }

  @Override
  public void close() {
    script.close();
  }
}
