package dev.kvshare.apply.policy;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Turns a {@link Policy} into the JSON tree of its file and back. The records are bound by their
 * components' names; the schema has checked a tree before it comes here.
 */
final class PolicyJson {
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
          .defaultPropertyInclusion(
              JsonInclude.Value.construct(JsonInclude.Include.NON_NULL, JsonInclude.Include.ALWAYS))
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .build();

  private PolicyJson() {}

  /** The whole file, fields of other releases merged in. */
  static ObjectNode tree(Policy policy) {
    ObjectNode root = MAPPER.createObjectNode();
    root.put("schema", PolicyFile.SCHEMA);
    root.set("model", MAPPER.valueToTree(policy.model()));
    root.set("plan", tree(policy.plan()));
    root.set("repair", MAPPER.valueToTree(policy.repair()));
    root.set("savings", MAPPER.valueToTree(policy.savings()));
    if (policy.calibration() != null) {
      root.set("calibration", MAPPER.valueToTree(policy.calibration()));
    }
    if (policy.tool() != null) {
      root.set("tool", MAPPER.valueToTree(policy.tool()));
    }
    merge(root, policy.unknownFields());
    return root;
  }

  /** The {@code plan} object, every field of it. */
  static ObjectNode tree(Plan plan) {
    ObjectNode node = MAPPER.createObjectNode();
    node.set("kv_source", MAPPER.valueToTree(plan.map().toArray()));
    node.set("window", MAPPER.valueToTree(plan.windows()));
    node.put("prefill", plan.prefill().name().toLowerCase(Locale.ROOT));
    if (plan.upward() instanceof UpwardReading.Parallel parallel) {
      ObjectNode upward = node.putObject("upward").put("forward_passes", parallel.forwardPasses());
      if (parallel.backwardPasses() > 0) {
        upward.put("backward_passes", parallel.backwardPasses());
      }
    } else if (plan.upward() != null) {
      node.putObject("upward").put("sequential", true);
    } else {
      node.putNull("upward");
    }
    return node;
  }

  /** SHA-256 over the {@code plan} object on one line, keys sorted, every field there. */
  static String sha256(Plan plan) {
    return Digest.sha256(CanonicalJson.onOneLine(tree(plan)).getBytes(StandardCharsets.UTF_8));
  }

  /**
   * Binds a tree.
   *
   * @param root follows the schema of version 2
   * @param problems takes what is wrong all the same
   * @return null where something is
   */
  static Policy policy(ObjectNode root, List<String> problems) {
    Plan plan = plan(root.path("plan"), problems);
    if (plan == null) {
      return null;
    }
    ModelIdentity model =
        root.has("model")
            ? bind(root.path("model"), ModelIdentity.class)
            : ModelIdentity.ofLayers(plan.map().layers());
    problems.addAll(Policy.problems(model, plan));
    return problems.isEmpty()
        ? new Policy(
            model,
            plan,
            bind(root.path("repair"), Policy.RepairReference.class),
            root.path("savings").has("context")
                ? bind(root.path("savings"), Policy.Savings.class)
                : null,
            bind(root.path("calibration"), Provenance.class),
            bind(root.path("tool"), Policy.ToolVersion.class),
            PolicySchema.VERSION_2.unknownFields(root))
        : null;
  }

  private static Plan plan(JsonNode node, List<String> problems) {
    int[] source = bind(node.path("kv_source"), int[].class);
    SharingMap.problems(source).forEach(problem -> problems.add("$.plan.kv_source: " + problem));
    Plan.Windows windows = bind(node.path("window"), Plan.Windows.class);
    for (int layer : windows == null ? List.<Integer>of() : windows.layers()) {
      if (layer >= source.length) {
        problems.add(
            "$.plan.window.layers names layer %d: the layers are 0 to %d"
                .formatted(layer, source.length - 1));
      }
    }
    return problems.isEmpty()
        ? new Plan(
            SharingMap.of(source),
            windows,
            Plan.Prefill.valueOf(node.path("prefill").asText("plan").toUpperCase(Locale.ROOT)),
            upward(node.path("upward")),
            false)
        : null;
  }

  private static UpwardReading upward(JsonNode node) {
    if (!node.isObject()) {
      return null;
    }
    return node.has("sequential")
        ? new UpwardReading.Sequential()
        : new UpwardReading.Parallel(
            node.path("forward_passes").intValue(), node.path("backward_passes").asInt(0));
  }

  /** An object of another class with the components of the same names. */
  static <T> T convert(Object from, Class<T> type) {
    return MAPPER.convertValue(from, type);
  }

  private static <T> T bind(JsonNode node, Class<T> type) {
    try {
      return node.isMissingNode() || node.isNull() ? null : MAPPER.treeToValue(node, type);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("the schema lets through what cannot be bound: " + node, e);
    }
  }

  /** Adds what {@code into} lacks; a list that has changed its length since gets nothing. */
  private static void merge(JsonNode into, JsonNode extra) {
    for (Map.Entry<String, JsonNode> field : extra.properties()) {
      JsonNode present = into.get(field.getKey());
      if (present != null) {
        merge(present, field.getValue());
      } else if (into instanceof ObjectNode object) {
        object.set(field.getKey(), field.getValue());
      }
    }
    boolean alike = into.isArray() && extra.isArray() && into.size() == extra.size();
    for (int i = 0; alike && i < into.size(); i++) {
      merge(into.get(i), extra.get(i));
    }
  }
}
