package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.script.ScriptModule;

/**
 * Makes least-squares fits of projections; {@code fit.py} computes them in the engine. Made by
 * {@link Decoder#newFits}; closing it frees what its fits still hold.
 */
public final class LinearFits implements AutoCloseable {
  private final PtNDManager manager;
  private final ScriptModule script;

  LinearFits(PtNDManager manager) {
    this.manager = manager;
    this.script = new ScriptModule(manager, "fit.py");
  }

  /**
   * A fit without tokens.
   *
   * @param inputs F
   * @param firstBlock the leading inputs, which are regularised by their own size and not by that
   *     of the others; F where all are of one kind
   * @param outputs E
   */
  public LinearFit newFit(long inputs, long firstBlock, long outputs) {
    return new LinearFit(
        script,
        firstBlock,
        zeros(new Shape(inputs + 1, inputs + 1)),
        zeros(new Shape(inputs + 1, outputs)),
        zeros(new Shape()));
  }

  @Override
  public void close() {
    script.close();
    manager.close();
  }

  private PtNDArray zeros(Shape shape) {
    return (PtNDArray) manager.zeros(shape, DataType.FLOAT64);
  }
}
