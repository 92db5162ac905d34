package dev.kvshare.apply.model.safetensors;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.DataType;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes one file in the format of {@link SafetensorsFile}. Equal content gives equal bytes:
 * tensors and metadata are sorted by name. The header is padded with spaces so that the data starts
 * at a multiple of 8.
 */
public final class SafetensorsWriter {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int ALIGNMENT = 8;

  private final Map<String, String> metadata;
  private final Map<String, Content> tensors = new TreeMap<>();

  private record Content(DataType dataType, List<Long> shape, Iterable<ByteBuffer> pieces) {
    long bytes() {
      return Math.multiplyExact(
          shape.stream().reduce(1L, Math::multiplyExact), (long) dataType.blockBytes());
    }
  }

  /** A file without tensors, with the texts of {@code __metadata__} by name. */
  public SafetensorsWriter(Map<String, String> metadata) {
    this.metadata = new TreeMap<>(metadata);
  }

  /**
   * Adds a tensor.
   *
   * @param dataType a plain type
   * @param shape the shape, row-major
   * @param data little-endian, from its position to its limit; not copied
   */
  public SafetensorsWriter add(String name, DataType dataType, List<Long> shape, ByteBuffer data) {
    add(name, dataType, shape, List.of(data));
    if (tensors.get(name).bytes() != data.remaining()) {
      throw wrongSize(name, tensors.get(name), data.remaining());
    }
    return this;
  }

  /**
   * Adds a tensor of any size.
   *
   * @param pieces its bytes one after another, little-endian, each from its position to its limit;
   *     asked for when the file is written
   */
  public SafetensorsWriter add(
      String name, DataType dataType, List<Long> shape, Iterable<ByteBuffer> pieces) {
    Content content = new Content(dataType, List.copyOf(shape), pieces);
    if (dataType.isQuantised()) {
      throw wrongSize(name, content, 0);
    }
    tensors.put(name, content);
    return this;
  }

  private static IllegalArgumentException wrongSize(String name, Content content, long bytes) {
    return new IllegalArgumentException(
        "Tensor '%s' of type %s and shape %s does not have %d bytes"
            .formatted(name, content.dataType(), content.shape(), bytes));
  }

  /** Writes everything; {@code out} stays open. */
  public void writeTo(OutputStream out) throws IOException {
    byte[] header = header();
    out.write(
        ByteBuffer.allocate(Long.BYTES)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(header.length)
            .array());
    out.write(header);
    WritableByteChannel channel = Channels.newChannel(out);
    for (Map.Entry<String, Content> tensor : tensors.entrySet()) {
      long written = 0;
      for (ByteBuffer piece : tensor.getValue().pieces()) {
        ByteBuffer data = piece.duplicate();
        written += data.remaining();
        while (data.hasRemaining()) {
          channel.write(data);
        }
      }
      if (written != tensor.getValue().bytes()) {
        throw wrongSize(tensor.getKey(), tensor.getValue(), written);
      }
    }
  }

  private byte[] header() throws IOException {
    ObjectNode header = JSON.createObjectNode();
    if (!metadata.isEmpty()) {
      metadata.forEach(header.putObject("__metadata__")::put);
    }
    long offset = 0;
    for (Map.Entry<String, Content> tensor : tensors.entrySet()) {
      Content content = tensor.getValue();
      long end = offset + content.bytes();
      ObjectNode entry = header.putObject(tensor.getKey());
      entry.put("dtype", content.dataType().name());
      content.shape().forEach(entry.putArray("shape")::add);
      entry.putArray("data_offsets").add(offset).add(end);
      offset = end;
    }
    StringBuilder text = new StringBuilder(JSON.writeValueAsString(header));
    while (text.toString().getBytes(StandardCharsets.UTF_8).length % ALIGNMENT != 0) {
      text.append(' ');
    }
    return text.toString().getBytes(StandardCharsets.UTF_8);
  }
}
