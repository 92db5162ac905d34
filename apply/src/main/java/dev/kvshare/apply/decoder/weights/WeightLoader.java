package dev.kvshare.apply.decoder.weights;

import ai.djl.Device;
import ai.djl.ndarray.types.Shape;
import ai.djl.ndarray.types.SparseFormat;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.WeightSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.FiniteCheck;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Set;

/**
 * Puts the weights of a decoder together. A tensor that the checkpoint stores in the compute type
 * stays in the mapped file where that is wanted; all others are decoded straight into the engine's
 * memory.
 *
 * @param manager owns the weights; its device is where they end up
 * @param mapped whether tensors may stay in the mapped file, which then holds their memory
 * @param checked names of the tensors whose numbers were found finite; grows
 */
public record WeightLoader(
    Checkpoint checkpoint,
    ScriptModule script,
    PtNDManager manager,
    ComputeType type,
    boolean mapped,
    Set<String> checked) {
  private static final long MAX_BYTES_AT_ONCE = 1L << 30;
  private static final int ALIGNMENT = 8;

  /** The same for another owner of weights; what was checked once is not checked again. */
  public WeightLoader into(PtNDManager owner) {
    return new WeightLoader(checkpoint, script, owner, type, mapped, checked);
  }

  /** One weight in the compute type, with the shape that its description asks for. */
  public PtNDArray load(WeightSpec weight) {
    Shape shape = new Shape(weight.shape());
    List<WeightSpec.Part> parts = weight.parts();
    PtNDArray onCpu =
        parts.size() == 1 && parts.get(0).layout() instanceof WeightSpec.AsStored
            ? mappedOrRead(parts.get(0), shape)
            : assemble(parts, shape);
    return onDevice(onCpu);
  }

  /** Some rows of a weight that is stored as it is used: [rows, ...] in the compute type. */
  PtNDArray rows(WeightSpec weight, int[] numbers) {
    WeightSpec.Part part = weight.parts().get(0);
    long columns = elements(part.shape()) / part.shape().get(0);
    PtNDArray chosen = empty(new Shape(numbers.length, columns));
    for (int row = 0; row < numbers.length; row++) {
      try (PtNDArray slice = rows(chosen, row, 1)) {
        ByteBuffer memory = slice.toByteBuffer(true);
        checkpoint.readRows(part.tensor(), type.checkpointType(), numbers[row], 1, memory);
        requireFinite(part, numbers[row] * columns, memory.rewind());
      }
    }
    return onDevice(chosen);
  }

  private PtNDArray onDevice(PtNDArray onCpu) {
    if (manager.getDevice().equals(Device.cpu())) {
      return onCpu;
    }
    try (onCpu) {
      return script.toDevice(manager, onCpu);
    }
  }

  private PtNDArray mappedOrRead(WeightSpec.Part part, Shape shape) {
    ByteBuffer bytes =
        !mapped || type == ComputeType.BFLOAT16 // which the engine cannot take from a buffer
            ? null
            : checkpoint.mapped(part.tensor(), type.checkpointType());
    if (bytes != null && bytes.alignmentOffset(0, ALIGNMENT) == 0) {
      requireFinite(part, 0, bytes);
      return JniUtils.createNdFromByteBuffer(
          manager, bytes, shape, type.engineType(), SparseFormat.DENSE, Device.cpu());
    }
    PtNDArray whole = empty(shape);
    read(part, whole);
    return whole;
  }

  private PtNDArray assemble(List<WeightSpec.Part> parts, Shape shape) {
    PtNDArray whole = empty(shape);
    long row = 0;
    for (WeightSpec.Part part : parts) {
      long rows = elements(part.shape()) / (shape.size() / shape.get(0));
      try (PtNDArray target = rows(whole, row, rows)) {
        if (part.layout() instanceof WeightSpec.AsStored) {
          read(part, target);
        } else {
          try (PtNDArray stored = empty(new Shape(part.shape()))) {
            read(part, stored);
            script.assign(target, stored, part.layout());
          }
        }
      }
      row += rows;
    }
    return whole;
  }

  /** Decodes a whole tensor into {@code target}, which is contiguous. */
  private void read(WeightSpec.Part part, PtNDArray target) {
    long rows = part.shape().get(0);
    long bytesPerRow = target.size() / rows * type.bytes();
    long rowsAtOnce = Math.max(1, Math.min(rows, MAX_BYTES_AT_ONCE / bytesPerRow));
    boolean unchecked = !checked.contains(part.tensor());
    try (PtNDArray byRow = (PtNDArray) target.reshape(rows, target.size() / rows)) {
      for (long row = 0; row < rows; row += rowsAtOnce) {
        long count = Math.min(rowsAtOnce, rows - row);
        try (PtNDArray slice = rows(byRow, row, count)) {
          ByteBuffer memory = slice.toByteBuffer(true);
          checkpoint.readRows(part.tensor(), type.checkpointType(), row, count, memory);
          if (unchecked) {
            requireFinite(part, row * (target.size() / rows), memory.rewind());
          }
        }
      }
    }
    checked.add(part.tensor());
  }

  private void requireFinite(WeightSpec.Part part, long firstElement, ByteBuffer values) {
    FiniteCheck.require(checkpoint, part.tensor(), type.checkpointType(), firstElement, values);
  }

  private PtNDArray empty(Shape shape) {
    return script.run(manager, "empty_on_cpu", shape.getShape(), type.scriptCode());
  }

  private static PtNDArray rows(PtNDArray array, long first, long count) {
    return JniUtils.slice(array, 0, first, first + count, 1);
  }

  private static long elements(List<Long> shape) {
    return shape.stream().mapToLong(Long::longValue).reduce(1, Math::multiplyExact);
  }
}
