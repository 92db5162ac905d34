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

  private record Content(DataType dataType, List<Long> shape, ByteBuffer data) {}

  /**
   * A file without tensors.
   *
   * @param metadata texts by name
   */
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
    long elements = shape.stream().reduce(1L, Math::multiplyExact);
    if (dataType.isQuantised() || elements * dataType.blockBytes() != data.remaining()) {
      throw new IllegalArgumentException(
          "Tensor '%s' of type %s and shape %s does not have %d bytes"
              .formatted(name, dataType, shape, data.remaining()));
    }
    tensors.put(name, new Content(dataType, List.copyOf(shape), data));
    return this;
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
    for (Content tensor : tensors.values()) {
      ByteBuffer data = tensor.data().duplicate();
      while (data.hasRemaining()) {
        channel.write(data);
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
      long end = offset + content.data().remaining();
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
