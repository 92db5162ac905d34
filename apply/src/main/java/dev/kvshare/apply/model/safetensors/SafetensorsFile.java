package dev.kvshare.apply.model.safetensors;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.CheckpointMismatchException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.TensorInfo;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.PlainDecoders;
import dev.kvshare.apply.model.storage.StoredTensor;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;

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
  private final ModelFile file;
  private final Map<String, String> metadata;
  private final Map<String, StoredTensor> tensors = new TreeMap<>();

  private SafetensorsFile(ModelFile file) {
    this.file = file;
    HeaderReader header = new HeaderReader(file);
    for (HeaderReader.Entry entry : header.read()) {
      TensorInfo info = entry.info();
      tensors.put(
          info.name(),
          StoredTensor.plain(info, file, entry.offset(), PlainDecoders.of(info.dataType())));
    }
    this.metadata = Collections.unmodifiableMap(header.metadata());
  }

  /**
   * Opens a file and checks its whole header.
   *
   * @throws CheckpointException naming every problem of the header
   */
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
    return metadata;
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
    StoredTensor tensor = tensors.get(name);
    if (tensor == null || tensor.info().dataType() != dataType) {
      throw new CheckpointMismatchException(
          path()
              + ": a tensor '"
              + name
              + "' of type "
              + dataType
              + " is expected, but "
              + (tensor == null ? "there is none" : "it is of type " + tensor.info().dataType())
              + ". Check that it is the right file.");
    }
    return file.map(tensor.offset(), tensor.info().bytes());
  }

  @Override
  public void close() {
    file.close();
  }
}
