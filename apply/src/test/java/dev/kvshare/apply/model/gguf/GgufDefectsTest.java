package dev.kvshare.apply.model.gguf;

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
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class GgufDefectsTest {
  @TempDir Path folder;

  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.model.gguf.GgufDefects#all")
  void namesWhatIsWrong(Defect defect) throws IOException {
    Path file = Files.write(folder.resolve("model.gguf"), defect.bytes());
    defect.assertRefused(file, "model.gguf");
  }

  @Test
  void aMutatedFileIsReadOrRefusedWithAMessage() throws IOException {
    byte[] sound =
        GgufFixture.llama()
            .text("tokenizer.ggml.model", "gpt2")
            .texts("tokenizer.ggml.tokens", "a", "b", "c", "d")
            .bytes();
    int refused = 0;
    for (byte[] mutant : new Mutations(37, sound).list(800)) {
      Path file = Files.write(folder.resolve("model.gguf"), mutant);
      try (Checkpoint checkpoint = Checkpoints.open(file)) {
        for (TensorInfo tensor : checkpoint.tensors().values()) {
          if (tensor.dataType().isDecodable()) {
            checkpoint.read(
                tensor.name(),
                DataType.F32,
                ByteBuffer.allocateDirect((int) tensor.elements() * Float.BYTES));
          }
        }
      } catch (CheckpointException e) {
        refused++;
        assertTrue(e.getMessage().contains("model.gguf"), e.getMessage());
      }
    }
    assertTrue(refused > 200 && refused < 800, "refused " + refused);
  }
}
