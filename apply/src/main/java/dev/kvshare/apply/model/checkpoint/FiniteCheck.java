package dev.kvshare.apply.model.checkpoint;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/** Finds weights that are not numbers before anything is computed with them. */
public final class FiniteCheck {
  private static final int CHUNK_ELEMENTS = 1 << 18;

  private FiniteCheck() {}

  /**
   * Checks a tensor, or some rows of one, that was read or mapped.
   *
   * @param firstElement index of the first of {@code values} in the row-major tensor
   * @param values elements of {@code type} from position to limit, little-endian; left as it is
   * @param type F32, F16 or BF16
   * @throws CheckpointException.Corrupt naming tensor and first index of NaN or infinity
   */
  public static void require(
      Checkpoint checkpoint, String tensor, DataType type, long firstElement, ByteBuffer values) {
    ByteBuffer bytes = values.slice().order(ByteOrder.LITTLE_ENDIAN);
    int elements = bytes.remaining() / type.blockBytes();
    int chunks = (elements + CHUNK_ELEMENTS - 1) / CHUNK_ELEMENTS;
    OptionalInt first =
        IntStream.range(0, chunks)
            .parallel()
            .map(
                chunk ->
                    first(
                        bytes,
                        type,
                        chunk * CHUNK_ELEMENTS,
                        Math.min(elements, (chunk + 1) * CHUNK_ELEMENTS)))
            .filter(index -> index >= 0)
            .min();
    if (first.isPresent()) {
      throw notFinite(checkpoint, tensor, type, firstElement + first.getAsInt());
    }
  }

  private static int first(ByteBuffer bytes, DataType type, int from, int to) {
    boolean wide = type == DataType.F32;
    int exponent = wide ? 0x7f800000 : type == DataType.F16 ? 0x7c00 : 0x7f80;
    for (int i = from; i < to; i++) {
      int bits = wide ? bytes.getInt(i * Float.BYTES) : bytes.getShort(i * Short.BYTES);
      if ((bits & exponent) == exponent) {
        return i;
      }
    }
    return -1;
  }

  private static CheckpointException.Corrupt notFinite(
      Checkpoint checkpoint, String tensor, DataType type, long element) {
    TensorInfo info = checkpoint.info(tensor);
    boolean narrowed = type == DataType.F16 && info.dataType() != DataType.F16;
    return new CheckpointException.Corrupt(
        "%s: tensor '%s' has NaN or infinity at index %s as %s (stored as %s), but all weights must be finite. %s"
            .formatted(
                checkpoint.location(),
                tensor,
                index(info.shape(), element),
                type,
                info.dataType(),
                narrowed
                    ? "A value beyond 65504 does not fit into F16: compute in bfloat16 or float32."
                    : "The file is damaged or its training diverged; download the model again."));
  }

  private static List<Long> index(List<Long> shape, long element) {
    List<Long> index = new ArrayList<>();
    long rest = element;
    for (int axis = shape.size() - 1; axis >= 0; axis--) {
      index.add(0, rest % shape.get(axis));
      rest /= shape.get(axis);
    }
    return index;
  }
}
