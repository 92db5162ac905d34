package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.model.DataType;
import dev.kvshare.model.safetensors.SafetensorsFile;
import dev.kvshare.model.safetensors.SafetensorsWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FiniteStatesTest {
  @TempDir private Path folder;

  @Test
  void stopsAtTheFirstBadLayer() throws IOException {
    assertStops(
        "model.layers.3.mlp.down_proj.weight",
        0,
        Float.NaN,
        "The output of layer 3 is NaN for sample 0 at token 0");
    assertStops(
        "model.layers.5.self_attn.v_proj.weight",
        0,
        Float.POSITIVE_INFINITY,
        "The output of layer 5 is NaN for sample 0 at token 0");
  }

  /** The embedding of a token that only one sample has. */
  @Test
  void namesSampleAndToken() throws IOException {
    int[] sample = TinyModel.samples().get(4);
    int token = 0;
    while (occursBefore(sample[token], 4, token)) {
      token++;
    }
    assertStops(
        "model.embed_tokens.weight",
        sample[token] * 64,
        Float.NaN,
        "The output of the embedding is NaN for sample 4 at token " + token);
  }

  private static boolean occursBefore(int id, int sample, int token) {
    for (int other = 0; other <= sample; other++) {
      int[] ids = TinyModel.samples().get(other);
      for (int t = 0; t < (other == sample ? token : ids.length); t++) {
        if (ids[t] == id) {
          return true;
        }
      }
    }
    return false;
  }

  private void assertStops(String tensor, int element, float value, String expected)
      throws IOException {
    Path source = KvSharerGolden.path("tiny_llama");
    Files.writeString(
        folder.resolve("config.json"), Files.readString(source.resolve("config.json")));
    SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", "pt"));
    try (SafetensorsFile file = SafetensorsFile.open(source.resolve("model.safetensors"));
        OutputStream out = Files.newOutputStream(folder.resolve("model.safetensors"))) {
      file.tensors()
          .forEach(
              (name, stored) -> {
                ByteBuffer data = copy(file.bytes(name, DataType.F32));
                if (name.equals(tensor)) {
                  data.putFloat(element * Float.BYTES, value);
                }
                writer.add(name, DataType.F32, stored.info().shape(), data);
              });
      writer.writeTo(out);
    }
    try (TinyModel model = TinyModel.open(folder)) {
      CalibrationSettings settings = CalibrationSettings.builder().build();
      String message =
          assertThrows(CalibrationException.class, () -> model.calibrate(settings)).getMessage();
      assertTrue(message.startsWith(expected), message);
    }
  }

  private static ByteBuffer copy(ByteBuffer bytes) {
    ByteBuffer copy = ByteBuffer.allocate(bytes.remaining()).order(ByteOrder.LITTLE_ENDIAN);
    return copy.put(bytes).flip();
  }
}
