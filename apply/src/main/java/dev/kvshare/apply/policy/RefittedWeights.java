package dev.kvshare.apply.policy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.apply.plan.Plan;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.LongStream;

/**
 * The refitted weights of a policy with the values that its file holds, on the Java heap.
 * Immutable.
 *
 * <p>The file is a safetensors file whose tensors have the names, shapes and layout of the
 * checkpoint's. Matrices are float16 and biases float32; a tensor with a number that float16 does
 * not hold is float32 as well. A repair is measured with these values, not with those before they
 * were rounded. Equal tensors give equal bytes.
 */
public final class RefittedWeights {
  private static final float LARGEST_FLOAT16 = 65504;
  private static final String FORMAT = "kvshare.repair/1";

  /**
   * One tensor as it is stored.
   *
   * @param type F16, BF16 or F32
   * @param shape as in the checkpoint
   * @param data little-endian, row-major
   */
  private record Stored(DataType type, List<Long> shape, ByteBuffer data) {}

  private final SortedMap<String, Stored> tensors;
  private final String sha256;

  private RefittedWeights(SortedMap<String, Stored> tensors, String sha256OrNull) {
    this.tensors = tensors;
    this.sha256 = sha256OrNull == null ? Digest.sha256(this::writeTo) : sha256OrNull;
  }

  /**
   * Rounds and copies tensors.
   *
   * @param tensors float32 by name, in the shapes of the checkpoint
   */
  public static RefittedWeights of(Map<String, ? extends NDArray> tensors) {
    SortedMap<String, Stored> stored = new TreeMap<>();
    tensors.forEach((name, tensor) -> stored.put(name, stored(tensor)));
    return new RefittedWeights(stored, null);
  }

  /**
   * Reads a file and checks all of it.
   *
   * @param file from {@link PolicyFile#weights}, which has checked its digest
   * @throws PolicyException.Format if its content cannot be applied to the model
   */
  public static RefittedWeights read(Path file, Policy.RepairReference reference, ModelSpec spec) {
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      List<String> problems = problems(opened, reference, spec);
      if (!problems.isEmpty()) {
        throw refusal(file, problems);
      }
      SortedMap<String, Stored> stored = new TreeMap<>();
      for (String name : reference.tensors()) {
        TensorInfo info = opened.tensors().get(name).info();
        ByteBuffer mapped = opened.bytes(name, info.dataType());
        ByteBuffer copy = ByteBuffer.allocate(mapped.remaining()).put(mapped).flip();
        Stored tensor = new Stored(info.dataType(), info.shape(), copy);
        requireFinite(file, name, floats(tensor));
        stored.put(name, tensor);
      }
      return new RefittedWeights(stored, reference.sha256());
    } catch (CheckpointException e) {
      throw new PolicyException.Format(
          "The refitted weights of the policy cannot be read: %s Or run without them by --no-repair."
              .formatted(e.getMessage()),
          e);
    }
  }

  public SortedSet<String> names() {
    return new TreeSet<>(tensors.keySet());
  }

  /** Bytes of the numbers. */
  public long bytes() {
    return tensors.values().stream().mapToLong(tensor -> tensor.data().remaining()).sum();
  }

  /** 64 hexadecimal digits over the bytes of the file. */
  public String sha256() {
    return sha256;
  }

  /**
   * The tensors with the values of the file.
   *
   * @param manager owns them
   * @return float32 by name, in the shapes of the checkpoint
   */
  public Map<String, NDArray> tensors(NDManager manager) {
    Map<String, NDArray> arrays = new TreeMap<>();
    tensors.forEach(
        (name, tensor) -> {
          long[] shape = tensor.shape().stream().mapToLong(Long::longValue).toArray();
          arrays.put(name, manager.create(floats(tensor), new Shape(shape)));
        });
    return arrays;
  }

  /** What a policy says of them. */
  Policy.RepairReference reference(String file, Plan plan) {
    return new Policy.RepairReference(
        file, sha256, PolicyFile.planSha256(plan), List.copyOf(tensors.keySet()));
  }

  /** Writes the file; {@code out} stays open. */
  void writeTo(OutputStream out) throws IOException {
    SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", FORMAT));
    tensors.forEach(
        (name, tensor) ->
            writer.add(name, tensor.type(), tensor.shape(), tensor.data().duplicate()));
    writer.writeTo(out);
  }

  private static Stored stored(NDArray tensor) {
    float[] numbers = tensor.toFloatArray();
    DataType type =
        tensor.getShape().dimension() > 1 && fitsHalf(numbers) ? DataType.F16 : DataType.F32;
    List<Long> shape = LongStream.of(tensor.getShape().getShape()).boxed().toList();
    return new Stored(type, shape, StoredTensor.encode(numbers, type));
  }

  private static boolean fitsHalf(float[] numbers) {
    for (float number : numbers) {
      if (!(Math.abs(number) <= LARGEST_FLOAT16)) {
        return false;
      }
    }
    return true;
  }

  private static float[] floats(Stored tensor) {
    float[] numbers = new float[tensor.data().remaining() / tensor.type().blockBytes()];
    StoredTensor.plainDecoder(tensor.type()).decode(tensor.data().array(), numbers.length, numbers);
    return numbers;
  }

  private static void requireFinite(Path file, String name, float[] numbers) {
    for (int index = 0; index < numbers.length; index++) {
      if (!Float.isFinite(numbers[index])) {
        throw refusal(
            file,
            List.of("the tensor '%s' has NaN or infinity at element %d".formatted(name, index)));
      }
    }
  }

  private static List<String> problems(
      SafetensorsFile file, Policy.RepairReference reference, ModelSpec spec) {
    List<String> problems = new ArrayList<>();
    ReplaceableWeights replaceable = ReplaceableWeights.of(spec);
    for (String name : reference.tensors()) {
      if (!file.tensors().containsKey(name)) {
        problems.add("the tensor '" + name + "' that the policy names is not there");
      } else if (!replaceable.contains(name)) {
        problems.add("the tensor '" + name + "' is none that a policy may replace in this model");
      } else {
        TensorInfo info = file.tensors().get(name).info();
        if (!info.shape().equals(replaceable.shape(name))) {
          problems.add(
              "the tensor '%s' has the shape %s, expected %s"
                  .formatted(name, info.shape(), replaceable.shape(name)));
        }
        if (!info.dataType().isTarget()) {
          problems.add(
              "the tensor '%s' is of type %s, expected F16, BF16 or F32"
                  .formatted(name, info.dataType()));
        }
      }
    }
    for (String name : file.tensors().keySet()) {
      if (!reference.tensors().contains(name)) {
        problems.add("the policy does not name its tensor '" + name + "'");
      }
    }
    return problems;
  }

  private static PolicyException.Format refusal(Path file, List<String> problems) {
    return new PolicyException.Format(
        "%s has refitted weights that cannot be applied: %s. Calibrate this model again, or run without them by --no-repair."
            .formatted(file, String.join("; ", problems)));
  }
}
