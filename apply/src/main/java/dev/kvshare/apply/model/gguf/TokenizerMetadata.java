package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.TokenizerSource.AddedTokens;
import dev.kvshare.apply.model.TokenizerSource.GgufTokenizer;
import dev.kvshare.apply.model.TokenizerSource.SpecialTokens;
import java.util.List;
import java.util.Set;

/** Reads the {@code tokenizer.*} keys. */
final class TokenizerMetadata {
  private static final String PREFIX = "tokenizer.ggml.";
  private static final Set<String> NO_MODEL = Set.of("none", "no_vocab");

  private final GgufContents contents;
  private final List<String> tokens;

  private TokenizerMetadata(GgufContents contents) {
    this.contents = contents;
    this.tokens = contents.metadata().texts(PREFIX + "tokens");
  }

  /** The tokenizer; values that contradict each other become problems of the contents. */
  static TokenizerSource read(GgufContents contents) {
    String model = contents.metadata().text(PREFIX + "model");
    if (model == null || NO_MODEL.contains(model)) {
      return new TokenizerSource.None(contents.file().path());
    }
    return new TokenizerMetadata(contents).read(model);
  }

  private TokenizerSource read(String model) {
    Metadata metadata = contents.metadata();
    List<Double> scores = metadata.numbers(PREFIX + "scores");
    List<Long> types = metadata.integers(PREFIX + "token_type");
    if (tokens.isEmpty()) {
      contents.problems().corrupt("key '" + PREFIX + "tokens' has no elements");
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
      contents
          .problems()
          .corrupt(
              "key '"
                  + PREFIX
                  + key
                  + "' has "
                  + length
                  + " elements for a vocabulary of "
                  + tokens.size()
                  + " tokens");
    }
  }

  private int id(String key) {
    Long id = contents.metadata().natural(PREFIX + key);
    if (id == null) {
      return SpecialTokens.ABSENT;
    }
    if (id >= tokens.size()) {
      contents
          .problems()
          .corrupt(
              "key '"
                  + PREFIX
                  + key
                  + "' is "
                  + id
                  + ", but the vocabulary has "
                  + tokens.size()
                  + " tokens");
      return SpecialTokens.ABSENT;
    }
    return id.intValue();
  }
}
