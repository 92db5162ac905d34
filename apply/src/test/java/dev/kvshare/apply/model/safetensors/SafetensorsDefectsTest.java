package dev.kvshare.apply.model.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.Defect;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SafetensorsDefectsTest {
  @TempDir Path folder;

  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.model.safetensors.SafetensorsDefects#all")
  void namesWhatIsWrong(Defect defect) throws IOException {
    defect.assertRefused(SafetensorsFixture.directory(folder, defect.bytes()), "model.safetensors");
  }

  @Test
  void acceptsWhatTheReferenceAccepts() throws IOException {
    String header =
        "  {\"__metadata__\": {\"format\": \"pt\"}, \"empty\": {\"dtype\": \"F32\", \"shape\": [0],"
            + " \"data_offsets\": [0, 0], \"extra\": 1}, "
            + SafetensorsFixture.entry("scalar", "F32", "[]", 0, 4)
            + "}    ";
    Path model =
        SafetensorsFixture.directory(
            folder, SafetensorsFixture.file(header, SafetensorsFixture.floats(7)));
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      ByteBuffer dst = ByteBuffer.allocateDirect(4);
      checkpoint.read("empty", DataType.F32, dst);
      assertEquals(0, dst.position());
      checkpoint.read("scalar", DataType.BF16, dst);
      assertEquals(2, dst.position());
    }
  }
}
