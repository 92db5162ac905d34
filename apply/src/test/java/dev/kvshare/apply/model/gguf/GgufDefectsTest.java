package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.Defect;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
}
