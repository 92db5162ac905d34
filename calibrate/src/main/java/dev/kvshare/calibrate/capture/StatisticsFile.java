package dev.kvshare.calibrate.capture;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Reads and writes {@link KvStatistics} as a safetensors file. L layers, S samples, N tokens of all
 * samples, E hidden size:
 *
 * <pre>
 * metadata  "schema"           "kvshare.statistics/2"
 *           "model"            JSON: model_type, num_hidden_layers, num_attention_heads,
 *                              num_key_value_heads, head_dim, fingerprint, as in a policy
 *           "key"              model, number format, weight form and device in one line
 *           "dataset"          JSON: name, sha256 of the text
 * tensors   distances.keys     F64 [L, L]   below the diagonal; NaN elsewhere and between layers
 *                                           of different shapes
 *           distances.values   F64 [L, L]   alike
 *           samples.lengths    I32 [S]
 *           samples.token_ids  I32 [N]      samples one after another
 *           last_hidden        F32 [N, E]   of the unshared model after the final norm
 * </pre>
 *
 * <p>Another number after the slash of the schema is another format, which is refused.
 */
public final class StatisticsFile {
  private static final String SCHEMA = "kvshare.statistics/2";

  private StatisticsFile() {}

  /** Writes the file in one step: never half of it. Equal statistics give equal bytes. */
  public static void write(KvStatistics statistics, Path file) {
    SafetensorsWriter writer =
        new SafetensorsWriter(
            Map.of(
                "schema", SCHEMA,
                "model", model(statistics.model()),
                "key", statistics.key(),
                "dataset", dataset(statistics.dataset())));
    DistanceMatrix distances = statistics.distances();
    long layers = distances.layers();
    List<Long> square = List.of(layers, layers);
    writer.add("distances.keys", DataType.F64, square, square(layers, distances::key));
    writer.add("distances.values", DataType.F64, square, square(layers, distances::value));
    List<int[]> samples = statistics.samples();
    int[] lengths = samples.stream().mapToInt(sample -> sample.length).toArray();
    long tokens = Arrays.stream(lengths).asLongStream().sum();
    writer.add("samples.lengths", DataType.I32, List.of((long) lengths.length), ints(lengths));
    int[] ids = samples.stream().flatMapToInt(Arrays::stream).toArray();
    writer.add("samples.token_ids", DataType.I32, List.of(tokens), ints(ids));
    long elements = statistics.lastHidden().stream().mapToLong(states -> states.length).sum();
    writer.add(
        "last_hidden",
        DataType.F32,
        List.of(tokens, elements / tokens),
        () -> statistics.lastHidden().stream().map(StatisticsFile::floats).iterator());
    AtomicFile.write(file, writer::writeTo);
  }

  /**
   * Reads a file that {@link #write} wrote.
   *
   * @throws CalibrationException if it is of another format or version, or damaged
   */
  public static KvStatistics read(Path path) {
    try (SafetensorsFile file = SafetensorsFile.open(path)) {
      requireSchema(path, file.metadata().get("schema"));
      ModelIdentity model = model(json(file, "model"));
      JsonNode dataset = json(file, "dataset");
      int[] lengths = ints(file, "samples.lengths");
      int[] ids = ints(file, "samples.token_ids");
      if (Arrays.stream(lengths).asLongStream().sum() != ids.length
          || Arrays.stream(lengths).anyMatch(length -> length < 1)) {
        throw damaged(path, "the lengths of the samples do not add up to the token ids");
      }
      return new KvStatistics(
          model,
          file.metadata().getOrDefault("key", ""),
          new DatasetReference(
              dataset.path("name").textValue(), dataset.path("sha256").textValue()),
          samples(lengths, ids),
          new DistanceMatrix(
              lower(file, "distances.keys", model.layers()),
              lower(file, "distances.values", model.layers())),
          hidden(file, lengths));
    } catch (CheckpointException e) {
      throw new CalibrationException("The statistics cannot be read. " + e.getMessage(), e);
    }
  }

  private static void requireSchema(Path path, String schema) {
    if (schema == null || !schema.startsWith("kvshare.statistics/")) {
      throw new CalibrationException(
          path + " holds no statistics of a calibration: give a file that --save-stats wrote.");
    }
    if (!schema.equals(SCHEMA)) {
      throw new CalibrationException(
          "%s is of the format %s, but this release reads %s. Capture the statistics again with --save-stats."
              .formatted(path, schema, SCHEMA));
    }
  }

  private static String model(ModelIdentity model) {
    ObjectNode node = JsonNodeFactory.instance.objectNode();
    node.put("model_type", model.modelType());
    node.put("num_hidden_layers", model.layers());
    node.put("num_attention_heads", model.queryHeads());
    node.put("num_key_value_heads", model.keyValueHeads());
    node.put("head_dim", model.headSize());
    node.put("fingerprint", model.fingerprint());
    return node.toString();
  }

  private static ModelIdentity model(JsonNode node) {
    return new ModelIdentity(
        node.path("model_type").textValue(),
        node.path("num_hidden_layers").intValue(),
        integer(node.path("num_attention_heads")),
        integer(node.path("num_key_value_heads")),
        integer(node.path("head_dim")),
        node.path("fingerprint").textValue());
  }

  private static Integer integer(JsonNode node) {
    return node.isInt() ? node.intValue() : null;
  }

  private static String dataset(DatasetReference dataset) {
    ObjectNode node = JsonNodeFactory.instance.objectNode();
    node.put("name", dataset.name());
    node.put("sha256", dataset.sha256());
    return node.toString();
  }

  private static JsonNode json(SafetensorsFile file, String name) {
    try {
      return JsonFiles.parse(file.metadata().getOrDefault(name, "{}"));
    } catch (JsonFiles.MalformedException e) {
      throw damaged(file.path(), "\"" + name + "\" in its metadata is not JSON");
    }
  }

  @FunctionalInterface
  private interface Entry {
    double at(int row, int column);
  }

  private static ByteBuffer square(long layers, Entry entries) {
    ByteBuffer square = buffer(layers * layers * Double.BYTES);
    for (int row = 0; row < layers; row++) {
      for (int column = 0; column < layers; column++) {
        square.putDouble(column < row ? entries.at(row, column) : Double.NaN);
      }
    }
    return square.flip();
  }

  private static double[][] lower(SafetensorsFile file, String name, int layers) {
    ByteBuffer square = file.bytes(name, DataType.F64);
    if (square.remaining() != (long) layers * layers * Double.BYTES) {
      throw damaged(file.path(), "'" + name + "' is not of " + layers + " x " + layers + " layers");
    }
    double[][] lower = new double[layers][];
    for (int row = 0; row < layers; row++) {
      lower[row] = new double[row];
      for (int column = 0; column < row; column++) {
        lower[row][column] = square.getDouble((row * layers + column) * Double.BYTES);
      }
    }
    return lower;
  }

  private static ByteBuffer ints(int[] values) {
    ByteBuffer bytes = buffer((long) values.length * Integer.BYTES);
    Arrays.stream(values).forEach(bytes::putInt);
    return bytes.flip();
  }

  private static int[] ints(SafetensorsFile file, String name) {
    ByteBuffer bytes = file.bytes(name, DataType.I32);
    int[] values = new int[bytes.remaining() / Integer.BYTES];
    bytes.asIntBuffer().get(values);
    return values;
  }

  private static List<int[]> samples(int[] lengths, int[] ids) {
    List<int[]> samples = new ArrayList<>();
    int from = 0;
    for (int length : lengths) {
      samples.add(Arrays.copyOfRange(ids, from, from + length));
      from += length;
    }
    return samples;
  }

  private static ByteBuffer floats(float[] numbers) {
    ByteBuffer bytes = buffer((long) numbers.length * Float.BYTES);
    bytes.asFloatBuffer().put(numbers);
    return bytes;
  }

  /** A sample at a time: all of them may have more than 2 GiB. */
  private static List<float[]> hidden(SafetensorsFile file, int[] lengths) {
    long tokens = Arrays.stream(lengths).asLongStream().sum();
    StoredTensor stored = file.tensors().get("last_hidden");
    if (stored == null || stored.info().elements() % tokens != 0) {
      throw damaged(file.path(), "'last_hidden' does not have a row for each token");
    }
    int hiddenSize = Math.toIntExact(stored.info().elements() / tokens);
    List<float[]> samples = new ArrayList<>();
    long from = 0;
    for (int length : lengths) {
      float[] sample = new float[Math.multiplyExact(length, hiddenSize)];
      long bytes = (long) sample.length * Float.BYTES;
      file.bytes("last_hidden", DataType.F32, from, bytes).asFloatBuffer().get(sample);
      samples.add(sample);
      from += bytes;
    }
    return samples;
  }

  private static ByteBuffer buffer(long bytes) {
    return ByteBuffer.allocate(Math.toIntExact(bytes)).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static CalibrationException damaged(Path path, String what) {
    return new CalibrationException(
        "The statistics %s are damaged: %s. Capture them again with --save-stats."
            .formatted(path, what));
  }
}
