package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A weight that is no number is found when the model is loaded, not when its output is strange. */
class NonFiniteWeightTest {
  private static final Path MODEL =
      Path.of(System.getProperty("kvshare.root"))
          .resolve("apply/src/test/resources/goldens/reference/tiny_llama");
  private static final String TENSOR = "model.layers.5.mlp.down_proj.weight";
  private static final int COLUMNS = 128;

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(ComputeType.class)
  void isRefusedWithTensorAndIndex(ComputeType type) throws IOException {
    Files.copy(MODEL.resolve("config.json"), folder.resolve("config.json"));
    byte[] file = Files.readAllBytes(MODEL.resolve("model.safetensors"));
    ByteBuffer bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
    int headerBytes = Math.toIntExact(bytes.getLong(0));
    JsonNode header = new ObjectMapper().readTree(file, Long.BYTES, headerBytes);
    int start = Long.BYTES + headerBytes + header.at("/" + TENSOR + "/data_offsets/0").asInt();
    bytes.putFloat(start + (3 * COLUMNS + 7) * Float.BYTES, Float.NaN);
    Files.write(folder.resolve("model.safetensors"), file);

    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      String message =
          assertThrows(
                  CheckpointException.Corrupt.class,
                  () -> Decoder.load(checkpoint, new DecoderOptions("cpu", type, 1)))
              .getMessage();
      assertTrue(message.contains(TENSOR) && message.contains("[3, 7]"), message);
    }
  }
}
