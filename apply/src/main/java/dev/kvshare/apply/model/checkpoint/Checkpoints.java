package dev.kvshare.apply.model.checkpoint;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.gguf.GgufCheckpoint;
import dev.kvshare.apply.model.safetensors.SafetensorsDirectory;
import java.nio.file.Files;
import java.nio.file.Path;

/** Opens a model by what its path holds. */
public final class Checkpoints {
  private Checkpoints() {}

  /** Opens a Hugging Face directory or a GGUF file. */
  public static Checkpoint open(Path directoryOrGguf) {
    if (!Files.exists(directoryOrGguf)) {
      throw new CheckpointException(
          "%s: there is no such file or directory. Give a directory with config.json and *.safetensors, or a .gguf file."
              .formatted(directoryOrGguf));
    }
    if (Files.isDirectory(directoryOrGguf)) {
      return SafetensorsDirectory.open(directoryOrGguf);
    }
    if (directoryOrGguf.toString().endsWith(".safetensors")) {
      throw new CheckpointException(
          "%s: these are weights without the configuration that they need. Give the directory that holds them together with config.json."
              .formatted(directoryOrGguf));
    }
    return GgufCheckpoint.open(directoryOrGguf);
  }
}
