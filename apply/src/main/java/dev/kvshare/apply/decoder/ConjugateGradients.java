package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import java.util.function.UnaryOperator;

/**
 * Solves (curvature + penalty) change = slope for float32 matrices by conjugate gradients, the
 * gradients conditioned.
 *
 * @param curvature its product with a matrix, a new tensor
 * @param penalty what is added to the curvature's diagonal
 * @param conditioner an approximate inverse
 */
record ConjugateGradients(
    UnaryOperator<PtNDArray> curvature, double penalty, QueryConditioner conditioner) {

  /**
   * Returns the change after some iterations.
   *
   * @param slope consumed
   * @param scratch owner of the result
   */
  PtNDArray solve(PtNDArray slope, int iterations, PtNDManager scratch) {
    PtNDArray change = (PtNDArray) scratch.zeros(slope.getShape(), DataType.FLOAT32);
    PtNDArray direction;
    double squares;
    try (PtNDArray steepest = conditioner.times(slope, scratch)) {
      squares = dot(slope, steepest);
      direction = (PtNDArray) steepest.duplicate();
    }
    for (int iteration = 0; iteration < iterations && squares > 0; iteration++) {
      try (PtNDArray product = curvature.apply(direction);
          NDArray ridge = direction.mul(penalty)) {
        product.addi(ridge);
        double length = squares / dot(direction, product);
        try (NDArray step = direction.mul(length);
            NDArray fall = product.mul(length)) {
          change.addi(step);
          slope.subi(fall);
        }
      }
      try (PtNDArray steepest = conditioner.times(slope, scratch)) {
        double next = dot(slope, steepest);
        direction.muli(next / squares).addi(steepest);
        squares = next;
      }
    }
    return change;
  }

  /** The sum of the products of all elements. */
  static double dot(NDArray a, NDArray b) {
    try (NDArray products = a.mul(b);
        NDArray sum = products.sum()) {
      return sum.getFloat();
    }
  }
}
