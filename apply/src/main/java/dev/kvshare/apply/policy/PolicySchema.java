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

/** A published JSON Schema of the policy file. */
final class PolicySchema {
  static final PolicySchema VERSION_1 = new PolicySchema("policy-1.schema.json");
  static final PolicySchema VERSION_2 = new PolicySchema("policy-2.schema.json");

  private final JsonNode tree;
  private final JsonSchema validator;

  private PolicySchema(String resource) {
    tree = load(resource);
    SchemaValidatorsConfig config =
        SchemaValidatorsConfig.builder()
            .pathType(PathType.JSON_PATH)
            .locale(Locale.ENGLISH)
            .build();
    validator = JsonSchemaFactory.getInstance(VersionFlag.V202012).getSchema(tree, config);
  }

  /** Returns every violation as a sentence that starts with its JSON path; empty if none. */
  List<String> problems(JsonNode document) {
    return validator.validate(document).stream()
        .map(PolicySchema::sentence)
        .distinct()
        .sorted()
        .toList();
  }

  private static String sentence(ValidationMessage message) {
    return message.getType().equals("additionalProperties")
        ? "%s.%s is no field of a policy; there it would change what is computed"
            .formatted(message.getInstanceLocation(), message.getProperty())
        : message.getMessage();
  }

  /** Whether the schema names a field of the root. */
  boolean names(String field) {
    return tree.path("properties").has(field);
  }

  /** Returns the fields of {@code document} that the schema does not name, nested as found. */
  ObjectNode unknownFields(ObjectNode document) {
    return unknown(document, tree);
  }

  private ObjectNode unknown(ObjectNode found, JsonNode schema) {
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
  private ArrayNode unknown(ArrayNode found, JsonNode schema) {
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

  private JsonNode resolve(JsonNode schema) {
    String reference = schema.path("$ref").asText();
    return reference.startsWith("#") ? tree.at(reference.substring(1)) : schema;
  }

  private static JsonNode load(String resource) {
    try (InputStream in = PolicySchema.class.getResourceAsStream(resource)) {
      return new ObjectMapper().readTree(in);
    } catch (IOException e) {
      throw new UncheckedIOException("the resource " + resource + " cannot be read", e);
    }
  }
}
