package dev.kvshare.apply.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class FiniteCheckTest {
  @TempDir Path folder;
  private Checkpoint checkpoint;

  /** Tensor w, float32 of shape [2, 3]: 0, 1, 2 / 3, 4, 1e6. */
  @BeforeEach
  void open() throws IOException {
    byte[] header =
        "{\"w\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [0, 24]}}"
            .getBytes(StandardCharsets.US_ASCII);
    ByteBuffer file = ByteBuffer.allocate(8 + header.length + 24).order(ByteOrder.LITTLE_ENDIAN);
    file.putLong(header.length).put(header);
    for (float value : new float[] {0, 1, 2, 3, 4, 1e6f}) {
      file.putFloat(value);
    }
    Files.writeString(folder.resolve("config.json"), "{}");
    Files.write(folder.resolve("model.safetensors"), file.array());
    checkpoint = Checkpoints.open(folder);
  }

  @AfterEach
  void close() {
    checkpoint.close();
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16"})
  void finiteWeightsPass(DataType type) {
    assertDoesNotThrow(() -> FiniteCheck.require(checkpoint, "w", type, 0, read(type)));
  }

  @ParameterizedTest
  @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
  void theFirstValueThatIsNotFiniteIsNamed(float value) {
    ByteBuffer values = read(DataType.F32);
    values.putFloat(16, value).putFloat(20, value);
    String message = refusedValues(DataType.F32, values);
    assertTrue(message.contains("'w' has NaN or infinity at index [1, 1] as F32"), message);
  }

  @Test
  void aValueTooLargeForFloat16IsExplained() {
    String message = refusedValues(DataType.F16, read(DataType.F16));
    assertTrue(message.contains("index [1, 2] as F16 (stored as F32)"), message);
    assertTrue(message.contains("bfloat16 or float32"), message);
  }

  @Test
  void anUnknownTensorIsNamed() {
    assertEquals(
        CheckpointException.Mismatch.class,
        assertThrows(CheckpointException.class, () -> checkpoint.info("v")).getClass());
  }

  private String refusedValues(DataType type, ByteBuffer values) {
    return assertThrows(
            CheckpointException.Corrupt.class,
            () -> FiniteCheck.require(checkpoint, "w", type, 0, values))
        .getMessage();
  }

  private ByteBuffer read(DataType type) {
    ByteBuffer values =
        ByteBuffer.allocateDirect(6 * type.blockBytes()).order(ByteOrder.LITTLE_ENDIAN);
    checkpoint.read("w", type, values);
    return values.flip().order(ByteOrder.LITTLE_ENDIAN);
  }
}
