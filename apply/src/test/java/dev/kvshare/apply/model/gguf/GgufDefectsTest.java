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
import java.util.List;
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
  void aMutatedFileIsReadOrRefusedWithAMessage() {
    byte[] sound =
        GgufFixture.llama()
            .text("tokenizer.ggml.model", "gpt2")
            .texts("tokenizer.ggml.tokens", "a", "b", "c", "d")
            .bytes();
    double refused =
        Mutations.check(
            "GGUF",
            37,
            List.of(sound),
            800,
            CheckpointException.class,
            "model.gguf",
            mutant -> {
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
              }
            });
    assertTrue(refused > 0.25 && refused < 1, "refused " + refused);
  }
}
