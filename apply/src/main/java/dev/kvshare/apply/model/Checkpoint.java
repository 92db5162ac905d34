package dev.kvshare.apply.model;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * An opened model: configuration, tensors and tokenizer, in Hugging Face names whatever the format
 * of the file. Weights stay in the file until they are read and are never copied to the Java heap.
 * Reading is safe from several threads.
 */
public interface Checkpoint extends AutoCloseable {

  /** The directory or file that was opened. */
  Path location();

  /** The Hugging Face configuration; that of a GGUF file is made from its metadata. */
  ModelConfig config();

  /** All tensors by Hugging Face name, sorted by name. */
  Map<String, TensorInfo> tensors();

  /**
   * Decodes rows of a tensor, that is entries of its first axis, row-major. Quantised blocks are
   * unpacked in parallel. One call is limited to the 2 GiB of a buffer: larger tensors are read in
   * parts.
   *
   * @param target F32, F16 or BF16
   * @param firstRow the first row, from 0
   * @param rows number of rows
   * @param dst a direct buffer; filled from its position, which moves by the bytes written
   *     (elements x bytes of the target), little-endian
   */
  void readRows(String tensor, DataType target, long firstRow, long rows, ByteBuffer dst);

  /** Decodes a whole tensor: {@link #readRows} over all its rows. */
  default void read(String tensor, DataType target, ByteBuffer dst) {
    readRows(tensor, target, 0, info(tensor).rows(), dst);
  }

  /**
   * The mapped bytes of a tensor, little-endian, read-only, without a copy.
   *
   * @return null when the tensor is not stored as exactly {@code target} in its final order, or is
   *     larger than the 2 GiB of a buffer: then it has to be read
   */
  ByteBuffer mapped(String tensor, DataType target);

  /** Fills {@code dst} with stored bytes of a tensor from {@code offset} of it on. */
  void readStored(String tensor, long offset, ByteBuffer dst);

  /** Where the tokenizer comes from. */
  TokenizerSource tokenizerSource();

  /** Closes the files. Buffers of {@link #mapped} stay valid. */
  @Override
  void close();

  /** The description of one tensor, which must be there. */
  default TensorInfo info(String tensor) {
    TensorInfo info = tensors().get(tensor);
    if (info == null) {
      throw new CheckpointException.Mismatch(
          "%s: there is no tensor '%s' among its %s tensors. Check that the files belong to the configuration, or download the model again."
              .formatted(location(), tensor, tensors().size()));
    }
    return info;
  }

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
}
