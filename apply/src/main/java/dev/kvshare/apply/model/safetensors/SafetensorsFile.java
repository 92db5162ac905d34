package dev.kvshare.apply.model.safetensors;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import dev.kvshare.apply.model.storage.StoredTensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * One file in the safetensors format:
 *
 * <pre>
 * file    := length header data
 * length  := unsigned 64-bit little-endian number of bytes of the header, at most 100,000,000
 * header  := UTF-8 JSON object: { NAME: tensor, ..., "__metadata__": { NAME: TEXT, ... } }
 * tensor  := { "dtype": TYPE, "shape": [d, ...], "data_offsets": [begin, end] }
 * data    := the bytes of all tensors, little-endian and row-major, without gap or overlap
 * </pre>
 *
 * Offsets count from the start of the data. Further fields of a tensor are ignored.
 */
public final class SafetensorsFile implements AutoCloseable {
  private static final int LENGTH_BYTES = 8;
  private static final long MAX_HEADER_BYTES = 100_000_000;
  private static final String METADATA = "__metadata__";
  private static final String DOWNLOAD = "Download the file again.";

  /** Types of the format whose values are not computed with. */
  private static final Set<String> OTHER_TYPES =
      Set.of(
          "F4 F6_E2M3 F6_E3M2 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ C64".split(" ", -1));

  private final ModelFile file;
  private final Problems problems;
  private final Map<String, String> metadata = new TreeMap<>();
  private final Map<String, StoredTensor> tensors = new TreeMap<>();
  private long dataStart;

  private SafetensorsFile(ModelFile file) {
    this.file = file;
    this.problems = new Problems(file.path());
    readHeader();
  }

  /** Opens a file and checks its whole header; an exception names every problem of it. */
  public static SafetensorsFile open(Path path) {
    ModelFile file = ModelFile.open(path);
    try {
      return new SafetensorsFile(file);
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  public Path path() {
    return file.path();
  }

  /** The texts of {@code __metadata__} by name. */
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(metadata);
  }

  /** The tensors by name. */
  public Map<String, StoredTensor> tensors() {
    return Collections.unmodifiableMap(tensors);
  }

  /**
   * The bytes of a tensor, read-only, little-endian.
   *
   * @param dataType the type that the tensor must have
   * @throws CheckpointException when it is missing, of another type or above 2 GiB
   */
  public ByteBuffer bytes(String name, DataType dataType) {
    StoredTensor tensor = tensor(name, dataType);
    return file.map(tensor.offset(), tensor.info().bytes());
  }

  /**
   * Some of the bytes of a tensor, otherwise as {@link #bytes(String, DataType)}.
   *
   * @param from the first of them, counted from the start of the tensor
   * @param length how many, at most 2 GiB
   */
  public ByteBuffer bytes(String name, DataType dataType, long from, long length) {
    StoredTensor tensor = tensor(name, dataType);
    Objects.checkFromIndexSize(from, length, tensor.info().bytes());
    return file.map(tensor.offset() + from, length);
  }

  private StoredTensor tensor(String name, DataType dataType) {
    StoredTensor tensor = tensors.get(name);
    if (tensor == null || tensor.info().dataType() != dataType) {
      throw new CheckpointException.Mismatch(
          "%s: a tensor '%s' of type %s is expected, but %s. Check that it is the right file."
              .formatted(
                  path(),
                  name,
                  dataType,
                  tensor == null ? "there is none" : "it is of type " + tensor.info().dataType()));
    }
    return tensor;
  }

  @Override
  public void close() {
    file.close();
  }

  /** Checks the header before anything of the sizes in it is allocated. */
  private void readHeader() {
    int length = headerLength();
    dataStart = LENGTH_BYTES + (long) length;
    ByteBuffer header = ByteBuffer.allocate(length);
    file.read(LENGTH_BYTES, header);
    String text = JsonFiles.decode(file.path(), header.array(), LENGTH_BYTES);
    try (JsonParser parser = JsonFiles.parser(text)) {
      readObject(parser);
    } catch (JsonProcessingException e) {
      throw problems.stop(
          "the header (bytes 8 to %s) is %s"
              .formatted(dataStart, JsonFiles.describe(e, text, LENGTH_BYTES)),
          DOWNLOAD);
    } catch (IOException e) {
      throw ModelFile.failure(file.path(), e);
    }
    if (problems.isEmpty()) {
      checkCoverage();
    }
    problems.throwIfAny(
        "The file is damaged, incomplete or needs another tool. Download it again, or convert the"
            + " model to BF16 safetensors.");
  }

  private int headerLength() {
    if (file.size() < LENGTH_BYTES) {
      throw problems.stop(
          "the file has %s bytes, but a safetensors file starts with 8 bytes that give the length of its header; the download is probably incomplete"
              .formatted(file.size()),
          DOWNLOAD);
    }
    ByteBuffer bytes = ByteBuffer.allocate(LENGTH_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    file.read(0, bytes);
    long length = bytes.getLong(0);
    long available = file.size() - LENGTH_BYTES;
    if (length < 0 || length > MAX_HEADER_BYTES || length > available) {
      throw problems.stop(
          "bytes 0 to 7 announce a header of %s bytes, but at most %s are possible in a file of %s bytes; it is incomplete or not in the safetensors format"
              .formatted(
                  Long.toUnsignedString(length),
                  Math.min(available, MAX_HEADER_BYTES),
                  file.size()),
          DOWNLOAD);
    }
    return (int) length;
  }

  private void readObject(JsonParser parser) throws IOException {
    if (parser.nextToken() != JsonToken.START_OBJECT) {
      throw problems.stop("the header does not hold a JSON object", DOWNLOAD);
    }
    Set<String> names = new HashSet<>();
    while (parser.nextToken() == JsonToken.FIELD_NAME) {
      String name = parser.currentName();
      if (!names.add(name)) {
        problems.corrupt("the header names '" + name + "' twice");
      }
      parser.nextToken();
      JsonNode value = JsonFiles.readValue(parser);
      if (name.equals(METADATA)) {
        readMetadata(value);
      } else {
        readTensor(name, value);
      }
    }
    if (parser.nextToken() != null) {
      problems.corrupt("the header goes on after its JSON object");
    }
  }

  private void readMetadata(JsonNode node) {
    if (node.isObject() && node.valueStream().allMatch(JsonNode::isTextual)) {
      node.properties().forEach(text -> metadata.put(text.getKey(), text.getValue().textValue()));
    } else {
      problems.corrupt("'" + METADATA + "' is " + brief(node) + ", but maps texts to texts");
    }
  }

  private void readTensor(String name, JsonNode node) {
    String path = "tensor '" + name + "'";
    if (!node.isObject()) {
      problems.corrupt(path + " is " + brief(node) + " instead of an object");
      return;
    }
    Optional<DataType> type = dataType(path, node.path("dtype"));
    List<Long> shape = naturals(path + ", shape", node.path("shape"));
    List<Long> range = naturals(path + ", data_offsets", node.path("data_offsets"));
    if (range != null && range.size() != 2) {
      problems.corrupt(
          path + ", data_offsets: " + range.size() + " numbers instead of [begin, end]");
    } else if (type.isPresent() && shape != null && range != null) {
      addTensor(path, name, type.get(), shape, range);
    }
  }

  private Optional<DataType> dataType(String path, JsonNode node) {
    if (!node.isTextual()) {
      problems.corrupt(path + ", dtype: " + brief(node) + " instead of a text");
      return Optional.empty();
    }
    Optional<DataType> type =
        DataType.named(node.textValue()).filter(known -> !known.isQuantised());
    if (type.isEmpty()) {
      String supported =
          Arrays.stream(DataType.values())
              .filter(candidate -> !candidate.isQuantised())
              .map(DataType::toString)
              .collect(Collectors.joining(", "));
      String problem = path + ": dtype '" + node.textValue() + "' is none of " + supported;
      if (OTHER_TYPES.contains(node.textValue())) {
        problems.unsupported(problem + "; convert the model to BF16");
      } else {
        problems.corrupt(problem);
      }
    }
    return type;
  }

  private List<Long> naturals(String path, JsonNode node) {
    if (!node.isArray()) {
      problems.corrupt(path + ": " + brief(node) + " instead of an array of whole numbers");
      return null;
    }
    List<Long> values = new ArrayList<>();
    for (JsonNode element : node) {
      if (!element.isIntegralNumber() || !element.canConvertToLong() || element.longValue() < 0) {
        problems.corrupt(
            path + "[" + values.size() + "]: " + brief(element) + " instead of 0 to 2^63-1");
        return null;
      }
      values.add(element.longValue());
    }
    return values;
  }

  private void addTensor(
      String path, String name, DataType type, List<Long> shape, List<Long> range) {
    long begin = range.get(0);
    long end = range.get(1);
    if (begin > end) {
      problems.corrupt(path + ", data_offsets: [" + begin + ", " + end + "] is reversed");
      return;
    }
    try {
      long bytes = type.bytes(shape.stream().reduce(1L, Math::multiplyExact));
      if (bytes != end - begin) {
        problems.corrupt(
            "%s: shape %s of %s takes %s bytes, but data_offsets [%s, %s] hold %s"
                .formatted(path, shape, type, bytes, begin, end, end - begin));
        return;
      }
      TensorInfo info = new TensorInfo(name, type, shape, bytes);
      long offset = Math.addExact(dataStart, end) - bytes;
      tensors.put(name, StoredTensor.plain(info, file, offset, StoredTensor.plainDecoder(type)));
    } catch (ArithmeticException e) {
      problems.corrupt(
          path + ": the size of shape " + shape + " of " + type + " overflows 64 bits");
    }
  }

  /** Sorted by offset, the tensors must follow each other and end with the file. */
  private void checkCoverage() {
    List<StoredTensor> sorted = new ArrayList<>(tensors.values());
    sorted.sort(Comparator.comparingLong(StoredTensor::offset).thenComparing(StoredTensor::end));
    long end = dataStart;
    StoredTensor previous = null;
    for (StoredTensor tensor : sorted) {
      if (tensor.offset() < end && previous != null) {
        problems.corrupt("tensors " + range(previous) + " and " + range(tensor) + " overlap");
      } else if (tensor.offset() > end) {
        problems.corrupt(
            "%s bytes before tensor %s belong to no tensor; the data of the previous one ends at %s"
                .formatted(tensor.offset() - end, range(tensor), end - dataStart));
      }
      if (tensor.end() >= end) {
        end = tensor.end();
        previous = tensor;
      }
    }
    if (end > file.size()) {
      problems.corrupt(
          "%s bytes are missing: tensor %s ends at byte %s, but the file has %s"
              .formatted(end - file.size(), range(previous), end, file.size()));
    } else if (end < file.size()) {
      problems.corrupt(
          "%s extra bytes follow the last tensor, which ends at byte %s"
              .formatted(file.size() - end, end));
    }
  }

  private String range(StoredTensor tensor) {
    return "'%s' [%s, %s)"
        .formatted(tensor.info().name(), tensor.offset() - dataStart, tensor.end() - dataStart);
  }

  private static String brief(JsonNode node) {
    if (node.isMissingNode()) {
      return "missing";
    }
    String text = node.toString();
    return text.length() <= 80 ? text : text.substring(0, 80) + "…";
  }
}
