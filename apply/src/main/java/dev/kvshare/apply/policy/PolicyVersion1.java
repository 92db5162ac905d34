package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns the tree of a policy of version 1 into one of version 2. There the plan was spread over
 * fields of the root, the method was called a strategy, and savings were those of an endless text.
 */
final class PolicyVersion1 {
  private static final Logger LOGGER = LoggerFactory.getLogger(PolicyVersion1.class);

  /** Half a unit of the third decimal, the precision of {@code kv_fraction} in the file. */
  private static final double FRACTION_TOLERANCE = 0.0005 + 1e-9;

  private PolicyVersion1() {}

  /** What is wrong between the windows and in the savings, which version 2 cannot say wrongly. */
  static List<String> problems(ObjectNode root) {
    List<String> problems = new ArrayList<>();
    JsonNode window = root.path("sliding_window");
    JsonNode windowed = root.path("windowed_layers");
    int sinks = root.path("attention_sinks").asInt(0);
    if (!window.isNumber() && !windowed.isEmpty()) {
      problems.add("$.windowed_layers names layers, but $.sliding_window is null: give its tokens");
    }
    if (sinks > 0 && windowed.isEmpty()) {
      problems.add(
          "$.attention_sinks is %d, but $.windowed_layers names no layer: sinks belong to windows"
              .formatted(sinks));
    }
    int[] source = integers(root.path("kv_source"));
    List<Integer> layers = IntStream.of(integers(windowed)).boxed().toList();
    if (root.path("savings").isObject()
        && SharingMap.problems(source).isEmpty()
        && layers.stream().allMatch(layer -> layer < source.length)) {
      Plan plan = Plan.of(SharingMap.of(source));
      if (window.isNumber()) {
        plan = plan.withWindows(Plan.Windows.of(layers, sinks, window.intValue()));
      }
      addSavingsProblems(problems, plan, root.path("savings"));
    }
    return problems;
  }

  /** A problem of the tree of version 2 in the words of the file. */
  static String inItsWords(String problem) {
    return problem
        .replace("$.plan.kv_source", "$.kv_source")
        .replace("$.plan.window.layers", "$.windowed_layers")
        .replace("$.plan.upward", "$.upper");
  }

  /** The same policy in version 2; {@code root} follows the schema of version 1. */
  static ObjectNode upgrade(ObjectNode root, String origin) {
    ObjectNode result = root.deepCopy();
    ObjectNode plan = JsonNodeFactory.instance.objectNode();
    plan.set("kv_source", result.remove("kv_source"));
    JsonNode layers = result.remove("windowed_layers");
    JsonNode last = result.remove("sliding_window");
    JsonNode first = result.remove("attention_sinks");
    if (layers != null && !layers.isEmpty()) {
      ObjectNode window = plan.putObject("window");
      window.set("layers", layers);
      window.put("first", first == null ? 0 : first.intValue());
      window.set("last", last);
    }
    if (result.remove("upper") instanceof ObjectNode upper) {
      if (upper.remove("tolerance") != null) {
        LOGGER.warn(
            "{} has $.upper.tolerance, at which earlier releases ended the passes over a prompt: it is ignored, all passes are run.",
            origin);
      }
      plan.set("upward", upper);
    }
    // Version 2 has no room for foreign fields where a typing error changes what is computed.
    ObjectNode unknown = PolicySchema.VERSION_1.unknownFields(root);
    for (String part : List.of("model", "upper")) {
      if (unknown.get(part) instanceof ObjectNode foreign) {
        result.withObjectProperty("version_1").set(part, foreign);
        ObjectNode strict =
            (ObjectNode) (part.equals("model") ? result.get(part) : plan.get("upward"));
        foreign.fieldNames().forEachRemaining(strict::remove);
      }
    }
    if (result.get("savings") instanceof ObjectNode savings) {
      savings.remove(List.of("kv_layers", "kv_fraction", "kv_bytes_per_token"));
      if (savings.isEmpty()) {
        result.remove("savings");
      }
    }
    if (result.get("calibration") instanceof ObjectNode calibration) {
      rename(calibration, "strategy", "method");
      for (JsonNode compared : calibration.path("compared")) {
        rename((ObjectNode) compared, "strategy", "method");
        rename((ObjectNode) compared, "shared_layers", "reduced_layers");
      }
    }
    result.put("schema", PolicyFile.SCHEMA);
    result.set("plan", plan);
    return result;
  }

  private static void rename(ObjectNode node, String from, String to) {
    JsonNode value = node.remove(from);
    if (value != null) {
      node.set(to, value);
    }
  }

  /**
   * Windows count, but releases that left them out have written policies too: either way will do,
   * as long as both numbers are counted alike.
   */
  private static void addSavingsProblems(List<String> problems, Plan plan, JsonNode savings) {
    int layers = plan.map().layers();
    int owned = plan.map().ownedLayers();
    int whole = KvUse.alike(plan, 1).wholeTextLayers();
    int found = savings.path("kv_layers").intValue();
    double fraction = savings.path("kv_fraction").doubleValue();
    boolean known = found == owned || found == whole;
    if (!known) {
      String other =
          whole == owned ? "" : ", $.windowed_layers %d with all tokens".formatted(whole);
      problems.add(
          "$.savings.kv_layers is %d, but $.kv_source leaves %d of %d layers with a cache%s"
              .formatted(found, owned, layers, other));
    }
    double[] fractions =
        (known ? IntStream.of(found) : IntStream.of(owned, whole).distinct())
            .mapToDouble(count -> (double) count / layers)
            .toArray();
    if (DoubleStream.of(fractions)
        .allMatch(right -> Math.abs(fraction - right) > FRACTION_TOLERANCE)) {
      String from = known ? "$.savings.kv_layers gives" : "$.kv_source and $.windowed_layers give";
      problems.add(
          "$.savings.kv_fraction is %s, but %s %s"
              .formatted(
                  fraction,
                  whole == owned ? "$.kv_source gives" : from,
                  DoubleStream.of(fractions)
                      .mapToObj("%.3f"::formatted)
                      .collect(Collectors.joining(" or "))));
    }
  }

  private static int[] integers(JsonNode array) {
    return IntStream.range(0, array.size()).map(i -> array.get(i).intValue()).toArray();
  }
}
