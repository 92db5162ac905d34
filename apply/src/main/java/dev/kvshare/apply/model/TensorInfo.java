package dev.kvshare.apply.model;

import java.util.List;

/**
 * One tensor of a checkpoint.
 *
 * @param name the Hugging Face name, such as {@code model.layers.0.self_attn.q_proj.weight}
 * @param dataType how the file stores it
 * @param shape row-major, in Hugging Face order ({@code [out, in]} for a linear weight)
 * @param bytes stored bytes
 */
public record TensorInfo(String name, DataType dataType, List<Long> shape, long bytes) {
  public TensorInfo {
    shape = List.copyOf(shape);
  }

  /** The number of elements. */
  public long elements() {
    return shape.stream().reduce(1L, Math::multiplyExact);
  }

  /** The length of the first axis; 1 for a scalar. */
  public long rows() {
    return shape.isEmpty() ? 1 : shape.get(0);
  }
}
