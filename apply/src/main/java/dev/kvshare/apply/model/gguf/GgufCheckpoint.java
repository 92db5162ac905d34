package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.gguf.architecture.Translation;
import dev.kvshare.apply.model.storage.MappedCheckpoint;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import java.nio.file.Path;

/** Opens GGUF files as checkpoints. */
public final class GgufCheckpoint {
  private static final String REMEDY =
      "Download the file again, or use another version of the model, such as its safetensors.";

  private GgufCheckpoint() {}

  /**
   * Opens a file.
   *
   * @throws CheckpointException naming every problem that was found
   */
  public static Checkpoint open(Path path) {
    ModelFile file = ModelFile.open(path);
    try {
      Problems problems = new Problems(path);
      GgufContents contents = read(file, problems);
      Translation translation = Translation.of(contents);
      problems.throwIfAny(REMEDY);
      ModelConfig config = new ModelConfig(path, translation.config());
      var tokenizer = TokenizerMetadata.read(contents);
      problems.throwIfAny(REMEDY);
      return new MappedCheckpoint(path, config, tokenizer, translation.tensors());
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private static GgufContents read(ModelFile file, Problems problems) {
    HeaderReader.Header header = new HeaderReader(file, problems).read();
    Long parts = header.metadata().natural("split.count");
    if (parts != null && parts > 1) {
      problems.unsupported(
          "the model is split over "
              + parts
              + " files; merge them with `llama-gguf-split --merge`");
    }
    return new GgufContents(
        file, header.metadata(), new TensorTable(file, problems).read(header), problems);
  }
}
