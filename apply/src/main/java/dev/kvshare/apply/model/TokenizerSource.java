package dev.kvshare.apply.model;

import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/** Where a model's tokenizer comes from. */
public sealed interface TokenizerSource {

  /**
   * A directory with {@code tokenizer.json}, and where present {@code tokenizer_config.json},
   * {@code chat_template.jinja} and {@code generation_config.json}.
   */
  record TokenizerFile(Path directory) implements TokenizerSource {}

  /**
   * The {@code tokenizer.*} metadata of a GGUF file, as stored.
   *
   * @param model {@code tokenizer.ggml.model}: {@code gpt2}, {@code llama}, …
   * @param pre {@code tokenizer.ggml.pre}, the name of the pre-tokenizer; null when absent
   * @param tokens the text of each id
   * @param merges merge rules in order of rank; empty when absent
   * @param scores a score for each id; empty when absent
   * @param tokenTypes a llama.cpp token type for each id (1 normal, 2 unknown, 3 control, 4 user
   *     defined, 5 unused, 6 byte); empty when absent
   * @param chatTemplate a Jinja template; null when absent
   */
  record GgufTokenizer(
      Path file,
      String model,
      String pre,
      List<String> tokens,
      List<String> merges,
      List<Float> scores,
      List<Integer> tokenTypes,
      SpecialTokens specialTokens,
      AddedTokens addedTokens,
      String chatTemplate)
      implements TokenizerSource {
    public GgufTokenizer {
      tokens = List.copyOf(tokens);
      merges = List.copyOf(merges);
      scores = List.copyOf(scores);
      tokenTypes = List.copyOf(tokenTypes);
    }
  }

  /**
   * Ids of special tokens; {@link #ABSENT} where the file names none.
   *
   * @param ends those that end a generated text, {@code eos} among them
   */
  record SpecialTokens(int bos, int eos, Set<Integer> ends, int unknown, int padding) {
    public static final int ABSENT = -1;

    public SpecialTokens {
      ends = Set.copyOf(ends);
    }
  }

  /**
   * What encoding adds to a text; null where the file does not say and the kind of model decides.
   */
  record AddedTokens(Boolean bos, Boolean eos, Boolean spacePrefix) {}

  /** The checkpoint has no tokenizer: token ids only. */
  record None(Path location) implements TokenizerSource {}
}
