package dev.kvshare.eval;

import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.runtime.Decoder;
import dev.kvshare.runtime.DecoderOptions;
import java.nio.file.Path;

/** The tiny checkpoints and reference outputs of the repository. */
final class Goldens {
  private static final Path FOLDER =
      Path.of(System.getProperty("kvshare.root"), "apply/src/test/resources/goldens");

  private Goldens() {}

  static Path file(String path) {
    return FOLDER.resolve(path);
  }

  static Decoder decoder(String model) {
    try (Checkpoint checkpoint = Checkpoints.open(file(model))) {
      return Decoder.load(checkpoint, DecoderOptions.DEFAULT);
    }
  }
}
