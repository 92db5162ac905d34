package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource.GgufTokenizer;
import dev.kvshare.apply.model.tokenizer.Tokenizer.TokenizerDefinition;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Makes a {@code tokenizer.json} from the metadata of a GGUF file. Two kinds of vocabulary are
 * understood: byte-level BPE ({@code gpt2}) and SentencePiece with scores ({@code llama}).
 */
final class GgufTokenizers {
  /** llama.cpp's token types. */
  private static final int UNKNOWN = 2;

  private static final int CONTROL = 3;
  private static final int USER_DEFINED = 4;

  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private GgufTokenizers() {}

  static TokenizerDefinition read(GgufTokenizer source, ModelConfig config) {
    boolean byteLevel =
        switch (String.valueOf(source.model())) {
          case "gpt2" -> true;
          case "llama" -> false;
          default ->
              throw new CheckpointException.Tokenizer(
                  "%s: the key 'tokenizer.ggml.model' is '%s', but only 'gpt2' (byte-level BPE) and 'llama' (SentencePiece) are understood. Use the Hugging Face directory of the model with its tokenizer.json, or work with token ids."
                      .formatted(source.file(), source.model()));
        };
    ObjectNode root =
        byteLevel ? byteLevel(source) : SentencePieceGguf.document(source, config.modelType());
    root.put("version", "1.0");
    root.set("added_tokens", addedTokens(source, byteLevel, config.modelType()));
    TokenizerJson json = TokenizerJson.of(source.file(), root);
    TokenizerJsonRules.check(json);
    if (config.contains("vocab_size")) {
      TokenizerJsonRules.checkModelSize(json, config.integer("vocab_size"));
    }
    Boolean configured = source.addedTokens().bos();
    boolean usual = !byteLevel || PreTokenizers.of(source.file(), source.pre()).addBos();
    boolean addsBos = configured == null ? usual : configured;
    boolean addsEos = Boolean.TRUE.equals(source.addedTokens().eos());
    Map<String, String> specialTokens = specialTokens(source);
    return new TokenizerDefinition(
        json.withAddedTokens(
            addsBos ? specialTokens.get(TokenizerDefinition.BOS) : null,
            addsEos ? specialTokens.get(TokenizerDefinition.EOS) : null),
        specialTokens,
        source.specialTokens().ends(),
        source.chatTemplate() == null
            ? Map.of()
            : Map.of(
                TokenizerDefinition.DEFAULT_TEMPLATE,
                new ChatTemplate(source.file(), source.chatTemplate(), specialTokens)));
  }

  /** The text of the token for unknown characters; null when the vocabulary has none. */
  static String unknownToken(GgufTokenizer source) {
    int id = source.specialTokens().unknown();
    if (isToken(source, id)) {
      return source.tokens().get(id);
    }
    int first = source.tokenTypes().indexOf(UNKNOWN);
    return first < 0 ? null : source.tokens().get(first);
  }

  /** The vocabulary with ids in order, from the text of each id. */
  static Map<String, Integer> vocabulary(GgufTokenizer source, List<String> tokens) {
    Map<String, Integer> ids = new LinkedHashMap<>();
    for (int id = 0; id < tokens.size(); id++) {
      Integer other = ids.putIfAbsent(tokens.get(id), id);
      if (other != null) {
        throw new CheckpointException.Tokenizer(
            "%s: the key 'tokenizer.ggml.tokens' holds the token '%s' at %d and at %d. The file is damaged or was converted wrongly: download or convert it again."
                .formatted(source.file(), tokens.get(id), other, id));
      }
    }
    return ids;
  }

  /** The rules of {@code tokenizer.ggml.merges} as pairs of tokens. */
  static ArrayNode merges(GgufTokenizer source) {
    ArrayNode merges = JSON.arrayNode();
    for (String merge : source.merges()) {
      // A token may begin with a space, so the border is the first space behind its first
      // character.
      int border = merge.indexOf(' ', 1);
      if (border < 0) {
        throw new CheckpointException.Tokenizer(
            "%s: the entry %d of the key 'tokenizer.ggml.merges' is '%s', expected two tokens with a space between. The file is damaged: download it again."
                .formatted(source.file(), merges.size(), merge));
      }
      merges.addArray().add(merge.substring(0, border)).add(merge.substring(border + 1));
    }
    return merges;
  }

  /**
   * Control tokens are special; user-defined ones are plain text that is never cut. Both are found
   * in a text before anything else happens to it.
   */
  private static ArrayNode addedTokens(GgufTokenizer source, boolean byteLevel, String modelType) {
    ArrayNode added = JSON.arrayNode();
    for (int id = 0; id < source.tokenTypes().size(); id++) {
      // llama.cpp takes what ends a text for a control token, whatever the file says.
      int type = source.specialTokens().ends().contains(id) ? CONTROL : source.tokenTypes().get(id);
      String token = source.tokens().get(id);
      boolean known = byteLevel || !SentencePieceGguf.isSpaces(token);
      if (type == CONTROL || (type == UNKNOWN && !byteLevel) || (type == USER_DEFINED && known)) {
        added
            .addObject()
            .put("id", id)
            .put("content", token)
            .put("single_word", false)
            .put("lstrip", false)
            .put("rstrip", !byteLevel && SentencePieceGguf.swallowsSpaces(modelType, token))
            .put("normalized", false)
            .put("special", type != USER_DEFINED);
      }
    }
    return added;
  }

  private static Map<String, String> specialTokens(GgufTokenizer source) {
    Map<String, String> tokens = new HashMap<>();
    put(source, TokenizerDefinition.BOS, source.specialTokens().bos(), tokens);
    put(source, TokenizerDefinition.EOS, source.specialTokens().eos(), tokens);
    put(source, "unk_token", source.specialTokens().unknown(), tokens);
    put(source, "pad_token", source.specialTokens().padding(), tokens);
    return tokens;
  }

  private static void put(GgufTokenizer source, String name, int id, Map<String, String> tokens) {
    if (isToken(source, id)) {
      tokens.put(name, source.tokens().get(id));
    }
  }

  private static boolean isToken(GgufTokenizer source, int id) {
    return id >= 0 && id < source.tokens().size();
  }

  /** Byte-level BPE ({@code tokenizer.ggml.model} is {@code gpt2}): tokens and merges as stored. */
  private static ObjectNode byteLevel(GgufTokenizer source) {
    PreTokenizers.Kind kind = PreTokenizers.of(source.file(), source.pre());
    if (source.merges().isEmpty()) {
      throw new CheckpointException.Tokenizer(
          "%s: the key 'tokenizer.ggml.merges' is absent, but a byte-level tokenizer needs it. Convert the model again with a current version of llama.cpp."
              .formatted(source.file()));
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
    vocabulary(source, source.tokens()).forEach(model.putObject("vocab")::put);
    model.set("merges", merges(source));
    return root;
  }

  /**
   * How a byte-level tokenizer cuts a text before merging. GGUF files only name the kind ({@code
   * tokenizer.ggml.pre}); {@code pre-tokenizers.json} holds for each known name the parts that the
   * original {@code tokenizer.json} of such models has. A new kind is one more entry there.
   */
  private static final class PreTokenizers {
    private static final String RESOURCE = "pre-tokenizers.json";
    private static final Map<String, Kind> KINDS = readKinds();

    private PreTokenizers() {}

    /** Parts of a {@code tokenizer.json}; {@code addBos} is for files that do not say. */
    record Kind(JsonNode normalizer, JsonNode preTokenizer, boolean ignoreMerges, boolean addBos) {}

    /** The kind of {@code tokenizer.ggml.pre}, null when the file has none. */
    static Kind of(Object origin, String name) {
      Kind kind = KINDS.get(name);
      if (kind == null) {
        throw new CheckpointException.Tokenizer(
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
}
