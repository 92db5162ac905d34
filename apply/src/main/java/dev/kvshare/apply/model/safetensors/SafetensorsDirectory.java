package dev.kvshare.apply.model.safetensors;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.UnsupportedModelException;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.model.storage.MappedCheckpoint;
import dev.kvshare.apply.model.storage.StoredTensor;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;

/**
 * A Hugging Face model directory: {@code config.json}, weights in {@code model.safetensors} or in
 * shards named by {@code model.safetensors.index.json}, and usually {@code tokenizer.json}.
 */
public final class SafetensorsDirectory {
  private static final String CONFIG = "config.json";
  private static final String SINGLE = "model.safetensors";
  private static final String TOKENIZER = "tokenizer.json";

  /** Formats that unpickle, that is run, what the file says. */
  private static final Pattern PICKLE =
      Pattern.compile(".*\\.(bin|pt|pth|pkl|pickle|ckpt)(\\.index\\.json)?");

  private SafetensorsDirectory() {}

  /**
   * Opens a directory.
   *
   * @throws CheckpointException when a file is missing or damaged
   */
  public static Checkpoint open(Path path) {
    ModelDirectory directory = new ModelDirectory(path);
    if (!directory.has(CONFIG)) {
      throw new CheckpointException(
          path
              + ": there is no "
              + CONFIG
              + ". A Hugging Face model directory has "
              + CONFIG
              + " and "
              + SINGLE
              + "; give its path, or the path of a .gguf file.");
    }
    Path configFile = directory.file(CONFIG);
    ModelConfig config = new ModelConfig(configFile, JsonFiles.readObject(configFile));
    TokenizerSource tokenizer = tokenizer(directory);
    List<SafetensorsFile> files = weights(directory);
    List<StoredTensor> tensors =
        files.stream().flatMap(file -> file.tensors().values().stream()).toList();
    return new MappedCheckpoint(path, config, tokenizer, tensors);
  }

  private static List<SafetensorsFile> weights(ModelDirectory directory) {
    if (directory.has(SINGLE)) {
      return List.of(SafetensorsFile.open(directory.file(SINGLE)));
    }
    if (directory.has(ShardIndex.NAME)) {
      return ShardIndex.open(directory);
    }
    List<String> pickles =
        directory.names().stream().filter(name -> PICKLE.matcher(name).matches()).toList();
    if (!pickles.isEmpty()) {
      throw new UnsupportedModelException(
          directory.path()
              + ": the weights are only there as "
              + String.join(", ", pickles)
              + ". Such files are not loaded, because opening one can run any code in it. Convert"
              + " the model to safetensors (save_pretrained of transformers does), or download a"
              + " version with "
              + SINGLE
              + ".");
    }
    throw new CheckpointException(
        directory.path()
            + ": there is neither "
            + SINGLE
            + " nor "
            + ShardIndex.NAME
            + " among "
            + directory.names()
            + ". Download the weights of the model into this directory.");
  }

  private static TokenizerSource tokenizer(ModelDirectory directory) {
    if (!directory.has(TOKENIZER)) {
      return new TokenizerSource.None(directory.path());
    }
    directory.file(TOKENIZER);
    return new TokenizerSource.TokenizerFile(directory.path());
  }
}
