package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** Makes the part of a {@code tokenizer.json} that adds special tokens around a text. */
final class PostProcessors {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private PostProcessors() {}

  /**
   * A {@code TemplateProcessing} entry.
   *
   * @param before the token in front of the text, or null
   * @param after the token behind the text, or null
   */
  static JsonNode template(TokenizerJson json, String before, String after) {
    ArrayNode single = JSON.arrayNode();
    ArrayNode pair = JSON.arrayNode();
    ObjectNode tokens = JSON.objectNode();
    addToken(json, before, single, tokens);
    single.add(piece("Sequence", "A"));
    addToken(json, after, single, tokens);
    pair.addAll(single);
    pair.add(piece("Sequence", "B"));
    ObjectNode template = JSON.objectNode().put("type", "TemplateProcessing");
    template.set("single", single);
    template.set("pair", pair);
    template.set("special_tokens", tokens);
    return template;
  }

  private static void addToken(
      TokenizerJson json, String token, ArrayNode sequence, ObjectNode tokens) {
    if (token == null) {
      return;
    }
    Integer id = json.id(token);
    if (id == null) {
      throw new TokenizerException(
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
