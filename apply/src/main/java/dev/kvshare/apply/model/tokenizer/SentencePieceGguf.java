package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.TokenizerSource.GgufTokenizer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * SentencePiece BPE ({@code tokenizer.ggml.model} is {@code llama}): pieces with scores, spaces
 * written as U+2581, characters outside the vocabulary as byte tokens. Becomes the BPE model that
 * Hugging Face's converter makes of it.
 */
final class SentencePieceGguf {
  private static final String SPACE = "\u2581";
  private static final int NORMAL = 1;
  private static final int USER_DEFINED = 4;
  private static final int BYTE = 6;
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private SentencePieceGguf() {}

  static ObjectNode document(GgufTokenizer source, String modelType) {
    boolean gemma = modelType.startsWith("gemma");
    boolean prefix =
        source.addedTokens().spacePrefix() == null ? !gemma : source.addedTokens().spacePrefix();
    ObjectNode root = JSON.objectNode();
    root.set("normalizer", normalizer(prefix));
    // Without a pre-tokenizer the whole text is one word; Gemma's spaces are all gone by then.
    root.putNull("pre_tokenizer");
    root.set("decoder", decoder(prefix));
    ObjectNode model =
        root.putObject("model")
            .put("type", "BPE")
            .put("unk_token", GgufTokenizers.unknownToken(source))
            .put("fuse_unk", true)
            .put("byte_fallback", source.tokenTypes().contains(BYTE));
    List<String> tokens =
        source.tokens().stream()
            .map(token -> isSpaces(token) ? SPACE.repeat(token.length()) : token)
            .toList();
    Map<String, Integer> ids = GgufTokenizers.vocabulary(source, tokens);
    ids.forEach(model.putObject("vocab")::put);
    model.set("merges", merges(source, ids, gemma));
    return root;
  }

  /** Whether a token is nothing but spaces; such pieces are stored with real spaces. */
  static boolean isSpaces(String token) {
    return !token.isEmpty() && token.chars().allMatch(c -> c == ' ');
  }

  /**
   * Whether spaces and line breaks behind a special token belong to it. The original tokenizers of
   * Phi-3 say so, for these tokens; the GGUF format cannot.
   */
  static boolean swallowsSpaces(String modelType, String token) {
    return modelType.equals("phi3") && !Set.of("<unk>", "<s>", "<|endoftext|>").contains(token);
  }

  private static JsonNode normalizer(boolean prefix) {
    ObjectNode replace = JSON.objectNode().put("type", "Replace");
    replace.putObject("pattern").put("String", " ");
    replace.put("content", SPACE);
    if (!prefix) {
      return replace;
    }
    ObjectNode sequence = JSON.objectNode().put("type", "Sequence");
    ArrayNode parts = sequence.putArray("normalizers");
    parts.addObject().put("type", "Prepend").put("prepend", SPACE);
    parts.add(replace);
    return sequence;
  }

  private static JsonNode decoder(boolean prefix) {
    ObjectNode sequence = JSON.objectNode().put("type", "Sequence");
    ArrayNode parts = sequence.putArray("decoders");
    ObjectNode replace = parts.addObject().put("type", "Replace");
    replace.putObject("pattern").put("String", SPACE);
    replace.put("content", " ");
    parts.addObject().put("type", "ByteFallback");
    parts.addObject().put("type", "Fuse");
    if (prefix) {
      parts.addObject().put("type", "Strip").put("content", " ").put("start", 1).put("stop", 0);
    }
    return sequence;
  }

  private static ArrayNode merges(GgufTokenizer source, Map<String, Integer> ids, boolean gemma) {
    if (!source.merges().isEmpty()) {
      return GgufTokenizers.merges(source);
    }
    Map<String, Integer> pieces = new LinkedHashMap<>(ids);
    List<Integer> types = source.tokenTypes();
    pieces
        .values()
        .removeIf(
            id -> !types.isEmpty() && types.get(id) != NORMAL && types.get(id) != USER_DEFINED);
    ArrayNode array = JSON.arrayNode();
    derive(pieces, scores(source, gemma))
        .forEach(merge -> array.addArray().add(merge.left()).add(merge.right()));
    return array;
  }

  /** Gemma's scores do not follow the order of its merges; the order of its vocabulary does. */
  private static double[] scores(GgufTokenizer source, boolean gemma) {
    if (!gemma && source.scores().isEmpty()) {
      throw new CheckpointException.Tokenizer(
          "%s: the key 'tokenizer.ggml.scores' is absent, but a SentencePiece tokenizer needs it. Convert the model again with a current version of llama.cpp."
              .formatted(source.file()));
    }
    return IntStream.range(0, source.tokens().size())
        .mapToDouble(id -> gemma ? -id : source.scores().get(id))
        .toArray();
  }

  /** A rule by which two pieces merge; a joined piece of a higher score goes first. */
  private record Merge(String left, String right, double score) {}

  /**
   * Merge rules of a SentencePiece vocabulary, which stores a score a piece instead. Any two pieces
   * whose joined text is a piece may merge; the joined piece with the best score goes first. These
   * rules give the pieces that SentencePiece gives; Hugging Face's converter derives the same ones.
   * Best first; among equal scores the longer left piece, as the reference orders them.
   */
  private static List<Merge> derive(Map<String, Integer> ids, double[] scores) {
    List<Merge> merges = new ArrayList<>();
    for (Map.Entry<String, Integer> entry : ids.entrySet()) {
      String piece = entry.getKey();
      for (int i = piece.offsetByCodePoints(0, piece.isEmpty() ? 0 : 1); i < piece.length(); ) {
        String left = piece.substring(0, i);
        String right = piece.substring(i);
        if (ids.containsKey(left) && ids.containsKey(right)) {
          merges.add(new Merge(left, right, scores[entry.getValue()]));
        }
        i = piece.offsetByCodePoints(i, 1);
      }
    }
    merges.sort(
        Comparator.comparingDouble(Merge::score)
            .thenComparingInt(merge -> codePoints(merge.left()))
            .thenComparingInt(merge -> codePoints(merge.right()))
            .reversed());
    return merges;
  }

  private static int codePoints(String text) {
    return text.codePointCount(0, text.length());
  }
}
