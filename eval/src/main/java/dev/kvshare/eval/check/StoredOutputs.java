package dev.kvshare.eval.check;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.TensorInfo;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.storage.MappedCheckpoint;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.eval.EvaluationException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;

/** The tensors of a safetensors file with inputs and outputs of a model. */
final class StoredOutputs implements AutoCloseable {
  private static final int MAX_ELEMENTS = Integer.MAX_VALUE / Float.BYTES - 1;

  private final SafetensorsFile file;
  private final MappedCheckpoint values;

  private StoredOutputs(SafetensorsFile file) {
    this.file = file;
    this.values = new MappedCheckpoint(file.path(), null, null, file.tensors().values());
  }

  static StoredOutputs open(Path path) {
    return new StoredOutputs(SafetensorsFile.open(path));
  }

  Path path() {
    return file.path();
  }

  boolean has(String tensor) {
    return file.tensors().containsKey(tensor);
  }

  /** Returns the names and shapes of all tensors, for messages. */
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
    if (stored.info().elements() > MAX_ELEMENTS || stored.info().elements() == 0) {
      throw new EvaluationException(
          "The tensor %s%s of %s is empty or has more than %d elements. Store fewer positions."
              .formatted(tensor, stored.info().shape(), path(), MAX_ELEMENTS));
    }
    return stored.info();
  }

  /** Returns the elements of a floating-point tensor, row-major. */
  float[] floats(String tensor) {
    int elements = (int) info(tensor).elements();
    ByteBuffer bytes =
        ByteBuffer.allocateDirect(elements * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    values.read(tensor, DataType.F32, bytes);
    float[] floats = new float[elements];
    bytes.flip().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(floats);
    return floats;
  }

  /** Returns the elements of a tensor of 32- or 64-bit integers, row-major. */
  long[] integers(String tensor) {
    TensorInfo info = info(tensor);
    long[] integers = new long[(int) info.elements()];
    if (info.dataType() != DataType.I64 && info.dataType() != DataType.I32) {
      throw new EvaluationException(
          "The tensor %s of %s is of type %s, expected I64 or I32."
              .formatted(tensor, path(), info.dataType()));
    }
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
