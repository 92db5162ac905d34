package dev.kvshare.apply.model.safetensors;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Writes safetensors files and model directories, sound and broken ones. */
final class SafetensorsFixture {
  static final String CONFIG = "{\"model_type\": \"llama\", \"hidden_size\": 4}";

  private SafetensorsFixture() {}

  /** Header and data without any check. */
  static byte[] file(String header, byte[] data) {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    return file(json.length, json, data);
  }

  static byte[] file(long length, byte[] header, byte[] data) {
    return ByteBuffer.allocate(8 + header.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(length)
        .put(header)
        .put(data)
        .array();
  }

  /** Float32 vectors of the given values. */
  static byte[] vectors(List<String> names, float[]... values) {
    List<String> entries = new ArrayList<>();
    ByteArrayOutputStream data = new ByteArrayOutputStream();
    for (int i = 0; i < values.length; i++) {
      int begin = data.size();
      data.writeBytes(floats(values[i]));
      entries.add(entry(names.get(i), "F32", "[" + values[i].length + "]", begin, data.size()));
    }
    return file("{" + String.join(", ", entries) + "}", data.toByteArray());
  }

  static String entry(String name, String type, String shape, long begin, long end) {
    return "\"%s\": {\"dtype\": \"%s\", \"shape\": %s, \"data_offsets\": [%d, %d]}"
        .formatted(name, type, shape, begin, end);
  }

  static byte[] floats(float... values) {
    ByteBuffer bytes =
        ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    return bytes.array();
  }

  /** A directory with a configuration and {@code model.safetensors}. */
  static Path directory(Path folder, byte[] weights) throws IOException {
    Files.createDirectories(folder);
    Files.writeString(folder.resolve("config.json"), CONFIG);
    Files.write(folder.resolve("model.safetensors"), weights);
    return folder;
  }

  /** A directory with a configuration and an index, but no shards. */
  static Path sharded(Path folder, String weightMap) throws IOException {
    Files.createDirectories(folder);
    Files.writeString(folder.resolve("config.json"), CONFIG);
    Files.writeString(
        folder.resolve("model.safetensors.index.json"), "{\"weight_map\": " + weightMap + "}");
    return folder;
  }
}
