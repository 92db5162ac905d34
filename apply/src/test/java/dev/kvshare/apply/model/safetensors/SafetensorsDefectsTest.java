package dev.kvshare.apply.model.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.Defect;
import dev.kvshare.apply.model.Mutations;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
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

  @Test
  void aMutatedFileIsReadOrRefusedWithAMessage() {
    byte[] sound =
        SafetensorsFixture.vectors(
            List.of("first", "second"), new float[] {1, 2, 3}, new float[] {4, 5});
    double refused =
        Mutations.check(
            "safetensors",
            31,
            List.of(sound),
            800,
            CheckpointException.class,
            "model.safetensors",
            mutant -> {
              Path model = SafetensorsFixture.directory(folder, mutant);
              try (Checkpoint checkpoint = Checkpoints.open(model)) {
                for (TensorInfo tensor : checkpoint.tensors().values()) {
                  checkpoint.readStored(
                      tensor.name(), 0, ByteBuffer.allocate((int) tensor.bytes()));
                }
              }
            });
    assertTrue(refused > 0.5 && refused < 1, "refused " + refused);
  }
}
