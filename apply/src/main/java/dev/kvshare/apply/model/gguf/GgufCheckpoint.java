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
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

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

    private static final Set<String> ENDS =
        Set.of(
            """
            <|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn>
            <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|>
            <end_of_utterance> <eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~["""
                .split("\\s+", -1));

    /** What ends a text that fills a gap, where the file names none. */
    private static final Map<String, List<String>> FILL_IN_ENDS =
        Map.of(
            "fim_pad", List.of("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
            "fim_rep",
                List.of("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
            "fim_sep", List.of("<|file_sep|>"));

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
              ends(),
              id("unknown_token_id"),
              id("padding_token_id")),
          new AddedTokens(
              metadata.flag(PREFIX + "add_bos_token"),
              metadata.flag(PREFIX + "add_eos_token"),
              metadata.flag(PREFIX + "add_space_prefix")),
          metadata.text("tokenizer.chat_template"));
    }

    /**
     * The tokens that end a text: those that the file names, and those that llama.cpp knows by
     * their text ({@code llama_vocab::impl::load}), for converters often name only one.
     */
    private Set<Integer> ends() {
      Set<String> texts = new HashSet<>(ENDS);
      Set<Integer> ends = new TreeSet<>();
      for (String key : List.of("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")) {
        int id = id(key + "_token_id");
        if (id != SpecialTokens.ABSENT) {
          ends.add(id);
        } else {
          texts.addAll(FILL_IN_ENDS.getOrDefault(key, List.of()));
        }
      }
      Set<String> found = new HashSet<>();
      for (int id = 0; id < tokens.size(); id++) {
        if (texts.contains(tokens.get(id))) {
          ends.add(id);
        }
        if (ends.contains(id)) {
          found.add(tokens.get(id));
        }
      }
      boolean calls = found.contains("<|call|>") || found.contains("<|calls|>");
      if (calls && (found.contains("<|return|>") || found.contains("<|flush|>"))) {
        ends.remove(tokens.indexOf("<|end|>"));
      }
      if (found.contains("<|tool_response>")) {
        ends.remove(tokens.indexOf("</s>"));
      }
      return ends;
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
