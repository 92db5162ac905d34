package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * How a byte-level tokenizer cuts a text before merging. GGUF files only name the kind ({@code
 * tokenizer.ggml.pre}); {@code pre-tokenizers.json} holds for each known name the parts that the
 * original {@code tokenizer.json} of such models has. A new kind is one more entry there.
 */
final class PreTokenizers {
  private static final String RESOURCE = "pre-tokenizers.json";
  private static final Map<String, Kind> KINDS = readKinds();

  private PreTokenizers() {}

  /**
   * One kind.
   *
   * @param normalizer the part {@code normalizer} of a {@code tokenizer.json}, or JSON null
   * @param preTokenizer the part {@code pre_tokenizer}
   * @param ignoreMerges whether a piece that is a token as a whole is taken without merging
   * @param addBos whether a text begins with BOS when the file does not say
   */
  record Kind(JsonNode normalizer, JsonNode preTokenizer, boolean ignoreMerges, boolean addBos) {}

  /**
   * The kind of a name.
   *
   * @param origin the file, for messages
   * @param name {@code tokenizer.ggml.pre}, or null when the file has none
   */
  static Kind of(Object origin, String name) {
    Kind kind = KINDS.get(name);
    if (kind == null) {
      throw new TokenizerException(
          "%s: the key 'tokenizer.ggml.pre' is %s. How such a tokenizer cuts text is not known here, and guessing would give wrong tokens. Known: %s. Use the Hugging Face directory of the model with its tokenizer.json, or work with token ids."
              .formatted(
                  origin,
                  name == null ? "absent" : "'" + name + "'",
                  String.join(", ", KINDS.keySet())));
    }
    return kind;
  }

  private static Map<String, Kind> readKinds() {
    Map<String, Kind> kinds = new LinkedHashMap<>();
    try (InputStream stream = PreTokenizers.class.getResourceAsStream(RESOURCE)) {
      for (JsonNode entry : new ObjectMapper().readTree(stream)) {
        Kind kind =
            new Kind(
                entry.get("normalizer"),
                entry.get("pre_tokenizer"),
                entry.get("ignore_merges").booleanValue(),
                entry.get("add_bos").booleanValue());
        entry.get("names").forEach(name -> kinds.put(name.textValue(), kind));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(RESOURCE + " is missing from the jar.", e);
    }
    return kinds;
  }
}
