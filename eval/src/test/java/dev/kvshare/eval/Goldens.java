package dev.kvshare.eval;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.nio.file.Path;

/** The tiny checkpoints and reference outputs of the repository. */
public final class Goldens {
  private static final Path FOLDER =
      Path.of(System.getProperty("kvshare.root"), "apply/src/test/resources/goldens");

  private Goldens() {}

  public static Path file(String path) {
    return FOLDER.resolve(path);
  }

  public static LoadedModel model(String model) {
    return LoadedModel.open(file(model), DecoderOptions.DEFAULT);
  }

  public static Decoder decoder(String model) {
    try (Checkpoint checkpoint = Checkpoints.open(file(model))) {
      return Decoder.load(checkpoint, DecoderOptions.DEFAULT);
    }
  }
}
