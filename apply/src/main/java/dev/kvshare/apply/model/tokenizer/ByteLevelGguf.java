package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.TokenizerSource.GgufTokenizer;

/** Byte-level BPE ({@code tokenizer.ggml.model} is {@code gpt2}): tokens and merges as stored. */
final class ByteLevelGguf {
  private ByteLevelGguf() {}

  static ObjectNode document(GgufTokenizer source) {
    PreTokenizers.Kind kind = PreTokenizers.of(source.file(), source.pre());
    if (source.merges().isEmpty()) {
      throw new TokenizerException(
          source.file()
              + ": the key 'tokenizer.ggml.merges' is absent, but a byte-level tokenizer needs it."
              + " Convert the model again with a current version of llama.cpp.");
    }
    ObjectNode root = JsonNodeFactory.instance.objectNode();
    root.set("normalizer", kind.normalizer());
    root.set("pre_tokenizer", kind.preTokenizer());
    root.putObject("decoder")
        .put("type", "ByteLevel")
        .put("add_prefix_space", true)
        .put("trim_offsets", true)
        .put("use_regex", true);
    ObjectNode model =
        root.putObject("model").put("type", "BPE").put("ignore_merges", kind.ignoreMerges());
    ObjectNode vocabulary = model.putObject("vocab");
    GgufTokenizers.vocabulary(source, source.tokens()).forEach(vocabulary::put);
    model.set("merges", GgufTokenizers.merges(source));
    return root;
  }
}
