package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.TokenizerSource.AddedTokens;
import dev.kvshare.apply.model.TokenizerSource.GgufTokenizer;
import dev.kvshare.apply.model.TokenizerSource.SpecialTokens;
import dev.kvshare.apply.model.storage.MappedCheckpoint;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/** Opens GGUF files as checkpoints. */
public final class GgufCheckpoint {
  private static final String REMEDY =
      "Download the file again, or use another version of the model, such as its safetensors.";

  private GgufCheckpoint() {}

  /** Opens a file, or throws an exception that names every problem found. */
  public static Checkpoint open(Path path) {
    ModelFile file = ModelFile.open(path);
    try {
      Problems problems = new Problems(path);
      HeaderReader.Header header = new HeaderReader(file, problems).read();
      Long parts = header.metadata().natural("split.count");
      if (parts != null && parts > 1) {
        problems.unsupported(
            "the model is split over %s files; merge them with `llama-gguf-split --merge`"
                .formatted(parts));
      }
      GgufContents contents =
          new GgufContents(
              file, header.metadata(), new TensorTable(file, problems).read(header), problems);
      Translation translation = Translation.of(contents);
      problems.throwIfAny(REMEDY);
      ModelConfig config = new ModelConfig(path, translation.config, translation.names());
      var tokenizer = TokenizerMetadata.read(contents);
      problems.throwIfAny(REMEDY);
      return new MappedCheckpoint(path, config, tokenizer, translation.tensors);
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  /** Reads the {@code tokenizer.*} keys. */
  private record TokenizerMetadata(GgufContents contents, Problems problems, List<String> tokens) {
    private static final String PREFIX = "tokenizer.ggml.";
    private static final Set<String> NO_MODEL = Set.of("none", "no_vocab");

    /** The tokenizer; values that contradict each other become problems of the contents. */
    static TokenizerSource read(GgufContents contents) {
      String model = contents.metadata().text(PREFIX + "model");
      if (model == null || NO_MODEL.contains(model)) {
        return new TokenizerSource.None(contents.file().path());
      }
      return new TokenizerMetadata(
              contents, contents.problems(), contents.metadata().texts(PREFIX + "tokens"))
          .read(model);
    }

    private TokenizerSource read(String model) {
      Metadata metadata = contents.metadata();
      List<Double> scores = metadata.numbers(PREFIX + "scores");
      List<Long> types = metadata.integers(PREFIX + "token_type");
      if (tokens.isEmpty()) {
        problems.corrupt("key '" + PREFIX + "tokens' has no elements");
      }
      sameLength("scores", scores.isEmpty() ? tokens.size() : scores.size());
      sameLength("token_type", types.isEmpty() ? tokens.size() : types.size());
      return new GgufTokenizer(
          contents.file().path(),
          model,
          metadata.text(PREFIX + "pre"),
          tokens,
          metadata.texts(PREFIX + "merges"),
          scores.stream().map(Double::floatValue).toList(),
          types.stream().map(Long::intValue).toList(),
          new SpecialTokens(
              id("bos_token_id"),
              id("eos_token_id"),
              id("eot_token_id"),
              id("unknown_token_id"),
              id("padding_token_id")),
          new AddedTokens(
              metadata.flag(PREFIX + "add_bos_token"),
              metadata.flag(PREFIX + "add_eos_token"),
              metadata.flag(PREFIX + "add_space_prefix")),
          metadata.text("tokenizer.chat_template"));
    }

    private void sameLength(String key, int length) {
      if (length != tokens.size()) {
        problems.corrupt(
            "key '%s%s' has %s elements for a vocabulary of %s tokens"
                .formatted(PREFIX, key, length, tokens.size()));
      }
    }

    private int id(String key) {
      Long id = contents.metadata().natural(PREFIX + key);
      if (id == null) {
        return SpecialTokens.ABSENT;
      }
      if (id >= tokens.size()) {
        problems.corrupt(
            "key '%s%s' is %s, but the vocabulary has %s tokens"
                .formatted(PREFIX, key, id, tokens.size()));
        return SpecialTokens.ABSENT;
      }
      return id.intValue();
    }
  }
}
