package dev.kvshare.apply.decoder;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptModule;

/**
 * Weighted ridge regression of a projection with a bias, from sums over tokens. Letters: N tokens,
 * F inputs, E outputs.
 *
 * <p>Products of a batch of tokens are float32, their sums and the solution (by Cholesky
 * decomposition) float64. Memory is that of a gram matrix, 8 (F + 1)^2 bytes, whatever N is; while
 * solving three more of them.
 */
public final class LinearFit implements AutoCloseable {
  private static final double STRONGER = 10;
  private static final int TRIALS = 6;

  private final ScriptModule script;
  private final long firstBlock;
  private final PtNDArray gram;
  private final PtNDArray cross;
  private final PtNDArray squares;

  LinearFit(
      ScriptModule script, long firstBlock, PtNDArray gram, PtNDArray cross, PtNDArray squares) {
    this.script = script;
    this.firstBlock = firstBlock;
    this.gram = gram;
    this.cross = cross;
    this.squares = squares;
  }

  /**
   * Adds N tokens.
   *
   * @param inputs [..., F] of any type, N in all
   * @param targets float32 [..., E]
   * @param weights float32 [...], what the squared error of each token counts
   */
  public void add(NDArray inputs, NDArray targets, NDArray weights) {
    try (IValue x = from(inputs);
        IValue y = from(targets);
        IValue w = from(weights);
        IValue products = from(gram);
        IValue across = from(cross);
        IValue sum = from(squares)) {
      run("add_tokens", x, y, w, products, across, sum).close();
    }
  }

  /**
   * The projection that minimises the error plus {@code strength} times the mean square of an input
   * times the squared distance of the weight from where it starts; the bias is free. A gram matrix
   * that cannot be decomposed gets a greater strength.
   *
   * @param start the weight to stay near
   * @param strength more than 0
   * @return belongs to the manager of the start
   */
  public Projection solve(Projection start, double strength) {
    PtNDManager owner = (PtNDManager) start.weight().getManager();
    EngineException failure = null;
    double tried = strength;
    for (int trial = 0; trial < TRIALS; trial++) {
      try (PtNDArray from = stacked(start);
          IValue products = from(gram);
          IValue across = from(cross);
          IValue initial = IValue.from(from);
          IValue ridge = IValue.from(tried);
          IValue block = IValue.from(firstBlock);
          PtNDArray solution = run("solve", products, across, initial, ridge, block);
          IValue result = IValue.from(solution)) {
        return new Projection(
            script.run(owner, "weight", result), script.run(owner, "bias", result));
      } catch (EngineException e) {
        failure = e;
        tried *= STRONGER;
      }
    }
    throw failure;
  }

  /** The weighted squared error of a projection over the tokens added. */
  public double error(Projection projection) {
    try (PtNDArray weights = stacked(projection);
        IValue products = from(gram);
        IValue across = from(cross);
        IValue sum = from(squares);
        IValue tested = IValue.from(weights);
        PtNDArray error = run("error", products, across, sum, tested)) {
      return error.getDouble();
    }
  }

  @Override
  public void close() {
    gram.close();
    cross.close();
    squares.close();
  }

  private PtNDArray stacked(Projection projection) {
    try (IValue weight = from(projection.weight());
        IValue bias = from(projection.bias())) {
      return run("stacked", weight, bias);
    }
  }

  private PtNDArray run(String method, IValue... arguments) {
    return script.run(gram.getManager(), method, arguments);
  }

  private static IValue from(NDArray tensor) {
    return IValue.from((PtNDArray) tensor);
  }
}
