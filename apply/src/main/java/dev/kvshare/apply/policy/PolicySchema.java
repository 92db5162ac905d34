package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.PathType;
import com.networknt.schema.SchemaValidatorsConfig;
import com.networknt.schema.SpecVersion.VersionFlag;
import com.networknt.schema.ValidationMessage;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The published JSON Schema of the policy file, version 1. */
final class PolicySchema {
  private static final String RESOURCE = "policy-1.schema.json";
  private static final JsonNode TREE = load();
  private static final JsonSchema VALIDATOR = validator();

  private PolicySchema() {}

  /** Returns every violation as a sentence that starts with its JSON path; empty if none. */
  static List<String> problems(JsonNode document) {
    return VALIDATOR.validate(document).stream()
        .map(ValidationMessage::getMessage)
        .distinct()
        .sorted()
        .toList();
  }

  /** Returns the fields of {@code document} that the schema does not name, nested as found. */
  static ObjectNode unknownFields(ObjectNode document) {
    return unknown(document, TREE);
  }

  private static ObjectNode unknown(ObjectNode found, JsonNode schema) {
    ObjectNode unknown = JsonNodeFactory.instance.objectNode();
    for (Map.Entry<String, JsonNode> field : found.properties()) {
      JsonNode known = resolve(schema.path("properties").path(field.getKey()));
      JsonNode value = field.getValue();
      if (known.isMissingNode()) {
        unknown.set(field.getKey(), value.deepCopy());
      } else if (value instanceof ObjectNode object) {
        ObjectNode inner = unknown(object, known);
        if (!inner.isEmpty()) {
          unknown.set(field.getKey(), inner);
        }
      } else if (value instanceof ArrayNode array) {
        ArrayNode inner = unknown(array, resolve(known.path("items")));
        if (!inner.isEmpty()) {
          unknown.set(field.getKey(), inner);
        }
      }
    }
    return unknown;
  }

  /** Returns one object of unknown fields an entry, or nothing if no entry has any. */
  private static ArrayNode unknown(ArrayNode found, JsonNode schema) {
    ArrayNode unknown = JsonNodeFactory.instance.arrayNode();
    boolean any = false;
    for (JsonNode entry : found) {
      ObjectNode inner =
          entry instanceof ObjectNode object
              ? unknown(object, schema)
              : JsonNodeFactory.instance.objectNode();
      any |= !inner.isEmpty();
      unknown.add(inner);
    }
    return any ? unknown : unknown.removeAll();
  }

  private static JsonNode resolve(JsonNode schema) {
    String reference = schema.path("$ref").asText();
    return reference.startsWith("#") ? TREE.at(reference.substring(1)) : schema;
  }

  private static JsonNode load() {
    try (InputStream in = PolicySchema.class.getResourceAsStream(RESOURCE)) {
      return new ObjectMapper().readTree(in);
    } catch (IOException e) {
      throw new UncheckedIOException("the resource " + RESOURCE + " cannot be read", e);
    }
  }

  private static JsonSchema validator() {
    SchemaValidatorsConfig config =
        SchemaValidatorsConfig.builder()
            .pathType(PathType.JSON_PATH)
            .locale(Locale.ENGLISH)
            .build();
    return JsonSchemaFactory.getInstance(VersionFlag.V202012).getSchema(TREE, config);
  }
}
