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
import java.util.stream.StreamSupport;

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

  /** The fields of {@code document} that the schema does not name, nested as found. */
  ObjectNode unknownFields(ObjectNode document) {
    JsonNode unknown = unknown(document, tree);
    return unknown.isEmpty() ? JsonNodeFactory.instance.objectNode() : (ObjectNode) unknown;
  }

  /** Of an array one object of unknown fields an entry; nothing where there are none. */
  private JsonNode unknown(JsonNode found, JsonNode schema) {
    JsonNodeFactory nodes = JsonNodeFactory.instance;
    ObjectNode fields = nodes.objectNode();
    for (Map.Entry<String, JsonNode> field : found.properties()) {
      JsonNode known = resolve(schema.path("properties").path(field.getKey()));
      JsonNode unknown =
          known.isMissingNode() ? field.getValue().deepCopy() : unknown(field.getValue(), known);
      if (known.isMissingNode() || !unknown.isEmpty()) {
        fields.set(field.getKey(), unknown);
      }
    }
    ArrayNode entries = nodes.arrayNode();
    if (found.isArray()) {
      found.forEach(entry -> entries.add(unknown(entry, resolve(schema.path("items")))));
    }
    boolean any = StreamSupport.stream(entries.spliterator(), false).anyMatch(e -> !e.isEmpty());
    return any ? entries : fields;
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
