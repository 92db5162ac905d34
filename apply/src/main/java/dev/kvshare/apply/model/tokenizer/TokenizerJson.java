package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.storage.JsonFiles;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The content of a {@code tokenizer.json} as a tree, with what is asked of it here.
 *
 * @param origin the file, for messages
 * @param root the whole document
 * @param ids id of each token of the model's vocabulary
 * @param addedIds id of each added token, as the file declares it
 */
record TokenizerJson(
    Path origin, ObjectNode root, Map<String, Integer> ids, Map<String, Integer> addedIds) {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private static final long MAX_BYTES = 1L << 29;

  /** Reads and checks a {@code tokenizer.json}. */
  static TokenizerJson read(Path file) {
    TokenizerJson json = of(file, JsonFiles.readObject(file, MAX_BYTES));
    TokenizerJsonRules.check(json);
    return json;
  }

  /** Wraps a document whose structure has not been checked. */
  static TokenizerJson of(Path origin, ObjectNode root) {
    return new TokenizerJson(
        origin, root, vocabulary(root.path("model").path("vocab")), added(root));
  }

  /** The id of a token, added or of the vocabulary; null when there is none. */
  Integer id(String token) {
    Integer id = addedIds.get(token);
    return id == null ? ids.get(token) : id;
  }

  /** The id of a token that is left out of texts; null when it is another one or there is none. */
  Integer specialId(String token) {
    return root.path("added_tokens")
            .valueStream()
            .anyMatch(
                added ->
                    added.path("special").asBoolean()
                        && token.equals(added.path("content").textValue()))
        ? addedIds.get(token)
        : null;
  }

  /** One above the highest id. */
  int size() {
    return Stream.concat(ids.values().stream(), addedIds.values().stream())
            .mapToInt(Integer::intValue)
            .max()
            .orElse(-1)
        + 1;
  }

  /** The document for the library, without built-in truncation and padding. */
  String text() {
    ObjectNode copy = shallowCopy();
    copy.putNull("truncation");
    copy.putNull("padding");
    return copy.toString();
  }

  /** The same with a post-processor that adds the given tokens around a text; each may be null. */
  TokenizerJson withAddedTokens(String before, String after) {
    ObjectNode copy = shallowCopy();
    copy.set("post_processor", template(this, before, after));
    return new TokenizerJson(origin, copy, ids, addedIds);
  }

  /**
   * The same for text in which special tokens are ordinary text. Ids are handed out by position in
   * the list, so a special token outside the vocabulary keeps its place under a name that no text
   * holds (U+FDD0 is not a character).
   */
  TokenizerJson withoutSpecialTokens() {
    ObjectNode copy = shallowCopy();
    ArrayNode kept = JSON.arrayNode();
    for (JsonNode token : root.path("added_tokens")) {
      if (!token.path("special").asBoolean()) {
        kept.add(token);
      } else if (!ids.containsKey(token.path("content").asText())) {
        ObjectNode renamed = token.deepCopy();
        kept.add(renamed.put("content", "\uFDD0" + token.path("id").asInt()));
      }
    }
    copy.set("added_tokens", kept);
    copy.putNull("post_processor");
    return new TokenizerJson(origin, copy, ids, addedIds);
  }

  private ObjectNode shallowCopy() {
    ObjectNode copy = JSON.objectNode();
    copy.setAll(root);
    return copy;
  }

  private static Map<String, Integer> vocabulary(JsonNode vocabulary) {
    Map<String, Integer> ids = new HashMap<>();
    if (vocabulary.isArray()) {
      for (int id = 0; id < vocabulary.size(); id++) {
        ids.put(vocabulary.get(id).path(0).asText(), id);
      }
    } else {
      vocabulary.properties().forEach(entry -> ids.put(entry.getKey(), entry.getValue().asInt(-1)));
    }
    return ids;
  }

  private static Map<String, Integer> added(ObjectNode root) {
    Map<String, Integer> ids = new HashMap<>();
    root.path("added_tokens")
        .forEach(token -> ids.put(token.path("content").asText(), token.path("id").asInt(-1)));
    return ids;
  }

  /** A {@code TemplateProcessing} entry with a token (or null) in front of and behind the text. */
  private static JsonNode template(TokenizerJson json, String before, String after) {
    ArrayNode single = JSON.arrayNode();
    ArrayNode pair = JSON.arrayNode();
    ObjectNode tokens = JSON.objectNode();
    addToken(json, before, single, tokens);
    single.add(piece("Sequence", "A"));
    addToken(json, after, single, tokens);
    pair.addAll(single);
    pair.add(piece("Sequence", "B"));
    return JSON.objectNode()
        .put("type", "TemplateProcessing")
        .setAll(Map.of("single", single, "pair", pair, "special_tokens", tokens));
  }

  private static void addToken(
      TokenizerJson json, String token, ArrayNode sequence, ObjectNode tokens) {
    if (token == null) {
      return;
    }
    Integer id = json.id(token);
    if (id == null) {
      throw new CheckpointException.Tokenizer(
          "%s: the token '%s' is to be added around each text but is not in the vocabulary of %d tokens. Correct tokenizer_config.json or download the model again."
              .formatted(json.origin(), token, json.size()));
    }
    sequence.add(piece("SpecialToken", token));
    ObjectNode entry = JSON.objectNode().put("id", token);
    entry.putArray("ids").add(id);
    entry.putArray("tokens").add(token);
    tokens.set(token, entry);
  }

  private static ObjectNode piece(String kind, String id) {
    ObjectNode piece = JSON.objectNode();
    piece.putObject(kind).put("id", id).put("type_id", 0);
    return piece;
  }
}
