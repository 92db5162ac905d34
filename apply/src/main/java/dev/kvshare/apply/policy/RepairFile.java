package dev.kvshare.apply.policy;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.weights.ReplaceableWeights;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.DataType.HalfPrecision;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * The refitted weights beside a policy: a safetensors file whose tensors have the names, shapes and
 * layout of the checkpoint's. Matrices are float16 and biases float32; a tensor with a number that
 * float16 does not hold is float32 as well. Equal tensors give equal bytes.
 */
public final class RepairFile {
  private static final float LARGEST_FLOAT16 = 65504;
  private static final String FORMAT = "kvshare.repair/1";

  private RepairFile() {}

  /**
   * Writes a file.
   *
   * @param tensors float32 by name
   * @param file beside the policy
   * @return what the policy says of it
   */
  public static RepairReference write(Map<String, ? extends NDArray> tensors, Path file) {
    SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", FORMAT));
    tensors.forEach((name, tensor) -> add(writer, name, tensor));
    AtomicFile.write(file, writer::writeTo);
    return new RepairReference(
        file.getFileName().toString(), sha256(file), List.copyOf(new TreeSet<>(tensors.keySet())));
  }

  /**
   * Reads a file and checks all of it.
   *
   * @param file one that exists
   * @param manager owns the tensors
   * @return float32 by name
   * @throws PolicyMismatchException if it is not the file that the policy was written with
   * @throws PolicyFormatException if its content cannot be applied to the model
   */
  public static Map<String, NDArray> read(
      Path file, RepairReference reference, ModelSpec spec, NDManager manager) {
    String found = sha256(file);
    if (!found.equals(reference.sha256())) {
      throw new PolicyMismatchException(
          "%s is not the file that the policy was written with: its SHA-256 is %s, but the policy says %s. Put the right file there, or run without the refitted weights by --no-repair."
              .formatted(file, found, reference.sha256()));
    }
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      List<String> problems = problems(opened, reference, spec);
      if (!problems.isEmpty()) {
        throw refusal(file, problems);
      }
      Map<String, NDArray> tensors = new TreeMap<>();
      for (String name : reference.tensors()) {
        tensors.put(name, tensor(opened, name, manager));
      }
      return tensors;
    } catch (CheckpointException e) {
      throw new PolicyFormatException(
          "The refitted weights of the policy cannot be read: "
              + e.getMessage()
              + " Or run without them by --no-repair.",
          e);
    }
  }

  private static List<String> problems(
      SafetensorsFile file, RepairReference reference, ModelSpec spec) {
    List<String> problems = new ArrayList<>();
    ReplaceableWeights replaceable = ReplaceableWeights.of(spec);
    for (String name : reference.tensors()) {
      if (!file.tensors().containsKey(name)) {
        problems.add("the tensor '" + name + "' that the policy names is not there");
      } else if (!replaceable.contains(name)) {
        problems.add("the tensor '" + name + "' is none that a policy may replace in this model");
      } else {
        addProblems(problems, file.tensors().get(name).info(), replaceable.shape(name));
      }
    }
    for (String name : file.tensors().keySet()) {
      if (!reference.tensors().contains(name)) {
        problems.add("the policy does not name its tensor '" + name + "'");
      }
    }
    return problems;
  }

  private static void addProblems(
      List<String> problems, TensorInfo info, List<Long> expectedShape) {
    if (!info.shape().equals(expectedShape)) {
      problems.add(
          "the tensor '%s' has the shape %s, expected %s"
              .formatted(info.name(), info.shape(), expectedShape));
    }
    if (!info.dataType().isTarget()) {
      problems.add(
          "the tensor '%s' is of type %s, expected F16, BF16 or F32"
              .formatted(info.name(), info.dataType()));
    }
  }

  private static NDArray tensor(SafetensorsFile file, String name, NDManager manager) {
    TensorInfo info = file.tensors().get(name).info();
    ByteBuffer bytes = file.bytes(name, info.dataType()).order(ByteOrder.LITTLE_ENDIAN);
    float[] numbers = new float[Math.toIntExact(info.elements())];
    for (int index = 0; index < numbers.length; index++) {
      numbers[index] =
          switch (info.dataType()) {
            case F16 -> HalfPrecision.fromFloat16(bytes.getShort());
            case BF16 -> HalfPrecision.fromBfloat16(bytes.getShort());
            default -> bytes.getFloat();
          };
      if (!Float.isFinite(numbers[index])) {
        throw refusal(
            file.path(),
            List.of("the tensor '%s' has NaN or infinity at element %d".formatted(name, index)));
      }
    }
    long[] shape = info.shape().stream().mapToLong(Long::longValue).toArray();
    return manager.create(numbers, new Shape(shape));
  }

  private static PolicyFormatException refusal(Path file, List<String> problems) {
    return new PolicyFormatException(
        "%s has refitted weights that cannot be applied: %s. Calibrate this model again, or run without them by --no-repair."
            .formatted(file, String.join("; ", problems)));
  }

  private static void add(SafetensorsWriter writer, String name, NDArray tensor) {
    float[] numbers = tensor.toFloatArray();
    boolean half = tensor.getShape().dimension() > 1 && fitsHalf(numbers);
    ByteBuffer bytes =
        ByteBuffer.allocate(numbers.length * (half ? Short.BYTES : Float.BYTES))
            .order(ByteOrder.LITTLE_ENDIAN);
    for (float number : numbers) {
      if (half) {
        bytes.putShort(HalfPrecision.toFloat16(number));
      } else {
        bytes.putFloat(number);
      }
    }
    List<Long> shape = new ArrayList<>();
    for (long size : tensor.getShape().getShape()) {
      shape.add(size);
    }
    writer.add(name, half ? DataType.F16 : DataType.F32, shape, bytes.flip());
  }

  private static boolean fitsHalf(float[] numbers) {
    for (float number : numbers) {
      if (!(Math.abs(number) <= LARGEST_FLOAT16)) {
        return false;
      }
    }
    return true;
  }

  private static String sha256(Path file) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
        in.transferTo(OutputStream.nullOutputStream());
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("Java without SHA-256", e);
    }
  }
}
