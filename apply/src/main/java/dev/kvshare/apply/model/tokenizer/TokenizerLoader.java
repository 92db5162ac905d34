package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;

/** Hands a tokenizer to the native library and says which part it refused. */
final class TokenizerLoader {
  private static final List<String> COMPONENTS =
      List.of("normalizer", "pre_tokenizer", "post_processor", "decoder");

  private TokenizerLoader() {}

  static NativeTokenizer load(TokenizerJson json) {
    try {
      return NativeTokenizer.load(json.text());
    } catch (TokenizerException e) {
      throw new TokenizerException(
          "%s: the bundled tokenizers library %s refuses the part '%s': %s. Download the model again, or convert its tokenizer with a version of transformers that writes what this library reads."
              .formatted(
                  json.origin(),
                  NativeTokenizer.LIBRARY_VERSION,
                  refusedPart(json.root()),
                  e.getMessage()),
          e);
    }
  }

  /** The library names no part in its message, so each is tried alone beside a tiny model. */
  private static String refusedPart(ObjectNode root) {
    for (String component : COMPONENTS) {
      ObjectNode probe = JsonNodeFactory.instance.objectNode().put("version", "1.0");
      ObjectNode model = probe.putObject("model").put("type", "WordLevel").put("unk_token", "a");
      model.putObject("vocab").put("a", 0);
      probe.set(component, root.path(component));
      try {
        NativeTokenizer.load(probe.toString()).close();
      } catch (TokenizerException refused) {
        return component;
      }
    }
    return "model";
  }
}
