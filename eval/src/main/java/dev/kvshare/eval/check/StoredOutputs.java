package dev.kvshare.eval.check;

import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.storage.MappedCheckpoint;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.eval.quality.EvaluationException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;

/** The tensors of a safetensors file with inputs and outputs of a model. */
final class StoredOutputs implements AutoCloseable {
  private final SafetensorsFile file;
  private final MappedCheckpoint values;

  StoredOutputs(Path path) {
    this.file = SafetensorsFile.open(path);
    this.values =
        new MappedCheckpoint(
            file.path(),
            null,
            null,
            file.tensors().values().stream().map(StoredOutputs::ofVectors).toList());
  }

  /** The same tensor as rows of its last axis, so that some positions of it can be read. */
  private static StoredTensor ofVectors(StoredTensor tensor) {
    TensorInfo info = tensor.info();
    long width = info.shape().isEmpty() ? 1 : info.shape().get(info.shape().size() - 1);
    List<Long> shape = List.of(width == 0 ? 0 : info.elements() / width, width);
    return new StoredTensor(
        new TensorInfo(info.name(), info.dataType(), shape, info.bytes()),
        tensor.file(),
        tensor.offset(),
        tensor.decoder(),
        tensor.order(),
        tensor.shift());
  }

  Path path() {
    return file.path();
  }

  boolean has(String tensor) {
    return file.tensors().containsKey(tensor);
  }

  /** The names and shapes of all tensors, for messages. */
  String listing() {
    List<String> names =
        file.tensors().values().stream()
            .map(StoredTensor::info)
            .map(info -> info.name() + info.shape())
            .toList();
    int shown = Math.min(20, names.size());
    String more = names.size() > shown ? " and %d more".formatted(names.size() - shown) : "";
    return String.join(", ", names.subList(0, shown)) + more;
  }

  TensorInfo info(String tensor) {
    StoredTensor stored = file.tensors().get(tensor);
    if (stored == null) {
      throw new EvaluationException(
          "%s has no tensor %s. It has %s; name the logits with --tensor, and give --input-ids if there are no input_ids."
              .formatted(path(), tensor, listing()));
    }
    if (stored.info().elements() == 0) {
      throw new EvaluationException(
          "The tensor %s%s of %s is empty.".formatted(tensor, stored.info().shape(), path()));
    }
    return stored.info();
  }

  /**
   * Elements of a floating-point tensor of any number of axes.
   *
   * @param first the first vector along the last axis of W elements, row-major
   * @param count vectors
   * @return [count, W], row-major
   */
  float[] vectors(String tensor, long first, int count) {
    int width = Math.toIntExact(values.info(tensor).shape().get(1));
    float[] floats = new float[Math.multiplyExact(count, width)];
    ByteBuffer bytes =
        ByteBuffer.allocateDirect(floats.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    values.readRows(tensor, DataType.F32, first, count, bytes);
    bytes.flip().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(floats);
    return floats;
  }

  /** The elements of a tensor of 32- or 64-bit integers, row-major. */
  long[] integers(String tensor) {
    TensorInfo info = info(tensor);
    if (info.dataType() != DataType.I64 && info.dataType() != DataType.I32) {
      throw new EvaluationException(
          "The tensor %s of %s is of type %s, expected I64 or I32."
              .formatted(tensor, path(), info.dataType()));
    }
    long[] integers = new long[Math.toIntExact(info.elements())];
    ByteBuffer bytes =
        file.bytes(tensor, info.dataType()).duplicate().order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < integers.length; i++) {
      integers[i] = info.dataType() == DataType.I64 ? bytes.getLong() : bytes.getInt();
    }
    return integers;
  }

  @Override
  public void close() {
    values.close();
  }
}
