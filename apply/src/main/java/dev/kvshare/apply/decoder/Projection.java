package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;

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
