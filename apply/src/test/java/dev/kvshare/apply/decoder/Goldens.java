package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** Tiny checkpoints with reference outputs, under {@code src/test/resources/goldens}. */
public final class Goldens {
  public static final Path ROOT =
      Path.of(System.getProperty("kvshare.root"), "apply/src/test/resources/goldens");
  public static final Path TINY_LLAMA = ROOT.resolve("reference/tiny_llama");

  /** One thread: the models are so small that more would only wait for each other. */
  public static final DecoderOptions OPTIONS = new DecoderOptions("cpu", ComputeType.FLOAT32, 1);

  private static final ObjectMapper JSON = new ObjectMapper();

  private Goldens() {}

  /** Directories of the checkpoints written by transformers, one a kind of model. */
  public static List<Path> architectures() {
    return directories("architectures");
  }

  /** The same with other settings, written by {@code src/test/python/write_variants.py}. */
  public static List<Path> variants() {
    return directories("variants");
  }

  private static List<Path> directories(String folder) {
    try (Stream<Path> entries = Files.list(ROOT.resolve(folder))) {
      return entries.filter(Files::isDirectory).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static float[] floats(Path file, String tensor) {
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      var buffer = opened.bytes(tensor, DataType.F32).asFloatBuffer();
      float[] numbers = new float[buffer.remaining()];
      buffer.get(numbers);
      return numbers;
    }
  }

  public static long[] longs(Path file, String tensor) {
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      var buffer = opened.bytes(tensor, DataType.I64).asLongBuffer();
      long[] numbers = new long[buffer.remaining()];
      buffer.get(numbers);
      return numbers;
    }
  }

  /** A checkpoint as a decoder, which the caller closes. */
  public static Decoder load(Path directory) {
    try (Checkpoint checkpoint = Checkpoints.open(directory)) {
      return Decoder.load(checkpoint, OPTIONS);
    }
  }

  /** The directory of one checkpoint. */
  public static Path architecture(String name) {
    return ROOT.resolve("architectures").resolve(name);
  }

  /** Copies a checkpoint with another configuration. */
  public static Path copy(Path checkpoint, Path target, Consumer<ObjectNode> change) {
    try {
      Files.createDirectories(target);
      String weights = "model.safetensors";
      Files.copy(
          checkpoint.resolve(weights),
          target.resolve(weights),
          StandardCopyOption.REPLACE_EXISTING);
      ObjectNode config = (ObjectNode) JSON.readTree(checkpoint.resolve("config.json").toFile());
      change.accept(config);
      JSON.writeValue(target.resolve("config.json").toFile(), config);
      return target;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The largest absolute difference; NaN counts as infinite. */
  public static double difference(float[] expected, float[] actual) {
    if (expected.length != actual.length) {
      throw new AssertionError(actual.length + " numbers, expected " + expected.length);
    }
    double largest = 0;
    for (int index = 0; index < expected.length; index++) {
      double difference = Math.abs(expected[index] - actual[index]);
      largest = Math.max(largest, Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference);
    }
    return largest;
  }

  /** The numbers of a tensor, which is closed. */
  public static float[] take(NDArray tensor) {
    try (tensor) {
      return tensor.toFloatArray();
    }
  }
}
