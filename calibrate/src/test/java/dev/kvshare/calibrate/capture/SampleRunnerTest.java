package dev.kvshare.calibrate.capture;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.KvSharerGolden;
import dev.kvshare.calibrate.TinyModel;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Finite weights whose products are beyond the largest float; others are refused when loaded. */
class SampleRunnerTest {
  private static final float NEARLY_MAX = 3e38f;
  private static final int HIDDEN_SIZE = 64;
  private static final int INTERMEDIATE_SIZE = 128;

  @TempDir private Path folder;

  @Test
  void stopsAtTheFirstBadLayer() throws IOException {
    config(Map.of());
    assertStops(
        "model.layers.3.mlp.down_proj.weight",
        0,
        INTERMEDIATE_SIZE,
        "The output of layer 3 is ",
        " for sample 0 at token 0");
  }

  /** The embedding of a token that only one sample has, in a family that doubles embeddings. */
  @Test
  void namesSampleAndToken() throws IOException {
    int[] sample = TinyModel.samples().get(4);
    int token = 0;
    while (occursBefore(sample[token], 4, token)) {
      token++;
    }
    config(
        Map.of(
            "model_type", "\"granite\"",
            "embedding_multiplier", "2.0",
            "attention_multiplier", "0.25",
            "residual_multiplier", "1.0",
            "logits_scaling", "1.0"));
    assertStops(
        "model.embed_tokens.weight",
        sample[token] * HIDDEN_SIZE,
        1,
        "The output of the embedding is Infinity for sample 4 at token " + token,
        "");
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

  /** Copies the configuration with some keys set to other JSON values. */
  private void config(Map<String, String> changes) throws IOException {
    ObjectMapper mapper = new ObjectMapper();
    ObjectNode config =
        (ObjectNode) mapper.readTree(KvSharerGolden.path("tiny_llama/config.json").toFile());
    for (Map.Entry<String, String> change : changes.entrySet()) {
      config.set(change.getKey(), mapper.readTree(change.getValue()));
    }
    mapper.writeValue(folder.resolve("config.json").toFile(), config);
  }

  private void assertStops(
      String tensor, int firstElement, int elements, String beginning, String rest)
      throws IOException {
    Path source = KvSharerGolden.path("tiny_llama");
    SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", "pt"));
    try (SafetensorsFile file = SafetensorsFile.open(source.resolve("model.safetensors"));
        OutputStream out = Files.newOutputStream(folder.resolve("model.safetensors"))) {
      file.tensors()
          .forEach(
              (name, stored) -> {
                ByteBuffer data = copy(file.bytes(name, DataType.F32));
                if (name.equals(tensor)) {
                  for (int i = firstElement; i < firstElement + elements; i++) {
                    data.putFloat(i * Float.BYTES, NEARLY_MAX);
                  }
                }
                writer.add(name, DataType.F32, stored.info().shape(), data);
              });
      writer.writeTo(out);
    }
    try (TinyModel model = TinyModel.open(folder)) {
      Calibration calibration = model.calibration();
      String message = assertThrows(CalibrationException.class, calibration::run).getMessage();
      assertTrue(message.startsWith(beginning) && message.contains(rest), message);
    }
  }

  private static ByteBuffer copy(ByteBuffer bytes) {
    ByteBuffer copy = ByteBuffer.allocate(bytes.remaining()).order(ByteOrder.LITTLE_ENDIAN);
    return copy.put(bytes).flip();
  }
}
