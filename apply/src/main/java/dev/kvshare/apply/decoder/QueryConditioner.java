package dev.kvshare.apply.decoder;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.LayerCall;

/**
 * An approximate inverse of the curvature by the queries of a layer: (C (x) A / N + damping)^-1
 * with the Kronecker factors of K-FAC (Martens and Grosse, arXiv 1503.05671), each a sum over N
 * tokens: A [F, F] of the products of inputs, C [D, D] of the curvature of a head by its queries.
 *
 * @param call methods of {@code queries.py}
 * @param blocks of each head the eigenvectors of C and, in one more row, its eigenvalues [Hq, D +
 *     1, D]
 * @param inputs the same of A [F + 1, F]
 * @param tokens N
 */
record QueryConditioner(
    LayerCall call, PtNDArray blocks, PtNDArray inputs, long tokens, double damping) {

  /**
   * @param curvature of each head [Hq, D, D]; kept
   * @param inputs from {@link #eigen}
   * @param owner of what is computed
   */
  static QueryConditioner of(
      LayerCall call,
      PtNDArray curvature,
      PtNDArray inputs,
      long tokens,
      double damping,
      PtNDManager owner) {
    return new QueryConditioner(call, eigen(call, curvature, owner), inputs, tokens, damping);
  }

  /** Symmetric [.., N, N] to eigenvectors as columns and eigenvalues in one more row. */
  static PtNDArray eigen(LayerCall call, PtNDArray matrix, PtNDManager owner) {
    try (IValue symmetric = IValue.from(matrix)) {
      return call.runPlain(owner, "query_eigen", symmetric);
    }
  }

  /** The product with a change of the queries [Hq * D, F]. */
  PtNDArray times(PtNDArray change, PtNDManager owner) {
    try (IValue of = IValue.from(change);
        IValue left = IValue.from(blocks);
        IValue right = IValue.from(inputs);
        IValue count = IValue.from(tokens);
        IValue added = IValue.from(damping)) {
      return call.runPlain(owner, "query_conditioned", of, left, right, count, added);
    }
  }
}
