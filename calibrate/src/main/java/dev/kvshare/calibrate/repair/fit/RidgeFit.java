package dev.kvshare.calibrate.repair.fit;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.decoder.LayerScript;
import java.util.function.DoubleFunction;

/**
 * Weighted ridge regression of a projection with a bias, from sums over tokens. Letters: N tokens,
 * F inputs, E outputs. Made by {@link Fits#newRidge}.
 *
 * <p>Products of a batch of tokens are float32, their sums and the solution (by Cholesky
 * decomposition) float64. Memory is that of a gram matrix, 8 (F + 1)^2 bytes, whatever N is; while
 * solving three more of them.
 */
public final class RidgeFit implements AutoCloseable {
  private static final double STRONGER = 10;
  private static final int TRIALS = 6;

  private final LayerScript script;
  private final NDManager manager;
  private final long firstBlock;
  private final NDArray gram;
  private final NDArray cross;
  private final NDArray squares;

  RidgeFit(LayerScript script, NDManager manager, long inputs, long firstBlock, long outputs) {
    this.script = script;
    this.manager = manager;
    this.firstBlock = firstBlock;
    this.gram = manager.zeros(new Shape(inputs + 1, inputs + 1), DataType.FLOAT64);
    this.cross = manager.zeros(new Shape(inputs + 1, outputs), DataType.FLOAT64);
    this.squares = manager.zeros(new Shape(), DataType.FLOAT64);
  }

  /**
   * Adds N tokens.
   *
   * @param inputs [..., F] of any type, N in all
   * @param targets float32 [..., E]
   * @param weights float32 [...], what the squared error of each token counts
   */
  public void add(NDArray inputs, NDArray targets, NDArray weights) {
    script.run(manager, "ridge_add", inputs, targets, weights, gram, cross, squares).close();
  }

  /**
   * The projection that minimises the error plus {@code strength} times the mean square of an input
   * times the squared distance of the weight from where it starts; the bias is free. A gram matrix
   * that is numerically not positive definite gets a greater strength.
   *
   * @param start the weight to stay near
   * @param strength more than 0
   * @return belongs to the manager of the start
   */
  public Projection solve(Projection start, double strength) {
    NDManager owner = start.weight().getManager();
    try (NDArray from = stacked(start);
        NDArray solution =
            firstSolution(
                strength,
                tried ->
                    script.run(manager, "ridge_solve", gram, cross, from, tried, firstBlock))) {
      return new Projection(
          script.run(owner, "ridge_weight", solution), script.run(owner, "ridge_bias", solution));
    }
  }

  /**
   * The solution with the least of a few growing strengths that has one.
   *
   * @param solve gives an empty tensor where there is none for numerical reasons; whatever it
   *     throws, memory that runs out for one, is no reason to try again
   */
  static NDArray firstSolution(double strength, DoubleFunction<NDArray> solve) {
    double tried = strength;
    for (int trial = 0; trial < TRIALS; trial++) {
      NDArray solution = solve.apply(tried);
      if (solution.size() > 0) {
        return solution;
      }
      solution.close();
      tried *= STRONGER;
    }
    throw new ArithmeticException(
        "a projection cannot be fitted: its inputs are not finite numbers, or too large. Try float32.");
  }

  /** The weighted squared error of a projection over the tokens added. */
  public double error(Projection projection) {
    try (NDArray weights = stacked(projection);
        NDArray error = script.run(manager, "ridge_error", gram, cross, squares, weights)) {
      return error.getDouble();
    }
  }

  @Override
  public void close() {
    gram.close();
    cross.close();
    squares.close();
  }

  private NDArray stacked(Projection projection) {
    return script.run(manager, "ridge_stacked", projection.weight(), projection.bias());
  }
}
