package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns the bytes of a policy file into a {@link Policy}: JSON, version, schema, then the rules
 * between the fields. Each step reports all its problems at once.
 */
final class PolicyReader {
  private static final Logger LOGGER = LoggerFactory.getLogger(PolicyReader.class);
  private static final Pattern VERSION = Pattern.compile("kvshare\\.policy/(\\d{1,9})(\\.\\d+)?");
  private static final int MAX_LISTED_PROBLEMS = 20;

  private final String origin;

  /** Creates a reader whose messages name {@code origin}. */
  PolicyReader(String origin) {
    this.origin = origin;
  }

  Policy read(byte[] bytes) {
    JsonNode document = StrictJson.parse(bytes, origin);
    if (!(document instanceof ObjectNode root)) {
      throw refusal(List.of("$: found %s, expected an object".formatted(document.getNodeType())));
    }
    checkVersion(root.path("schema"));
    refuseIfAny(PolicySchema.problems(root));
    return policy(root);
  }

  private void checkVersion(JsonNode schema) {
    Matcher matcher = VERSION.matcher(schema.asText());
    if (!schema.isTextual() || !matcher.matches()) {
      throw refusal(
          List.of(
              "$.schema: found %s, expected \"%s\""
                  .formatted(schema.isMissingNode() ? "nothing" : schema, PolicyFile.SCHEMA)));
    }
    int major = Integer.parseInt(matcher.group(1));
    if (major != PolicyFile.MAJOR_VERSION) {
      boolean tooNew = major > PolicyFile.MAJOR_VERSION;
      throw new PolicyVersionException(
          "%s has the schema version \"%s\", which is too %s: this release reads %s. %s."
              .formatted(
                  origin,
                  schema.asText(),
                  tooNew ? "new" : "old",
                  PolicyFile.SCHEMA,
                  tooNew
                      ? "Install a newer kvshare, or write the policy again with `kvshare calibrate`"
                      : "Write the policy again with `kvshare calibrate`"));
    }
  }

  private Policy policy(ObjectNode root) {
    int[] source = integers(root.path("kv_source")).stream().mapToInt(i -> i).toArray();
    List<String> problems =
        new ArrayList<>(SharingMap.problems(source).stream().map("$.kv_source: "::concat).toList());
    refuseIfAny(problems);
    SharingMap map = SharingMap.of(source);
    ModelIdentity model = model(root.path("model"), map);
    Integer slidingWindow = integer(root, "sliding_window");
    List<Integer> windowedLayers = integers(root.path("windowed_layers"));
    int attentionSinks = root.path("attention_sinks").asInt(0);
    UpwardReading upward = upward(root.path("upper"));
    Savings savings = savings(root.path("savings"));
    List<String> ofWindows =
        PolicyRules.windowProblems(map.layers(), slidingWindow, attentionSinks, windowedLayers);
    Plan.Windows windows =
        ofWindows.isEmpty() && slidingWindow != null
            ? Plan.Windows.of(windowedLayers, attentionSinks, slidingWindow)
            : null;
    Plan plan = Plan.of(map).withWindows(windows).withUpward(upward);
    problems.addAll(ofWindows);
    problems.addAll(PolicyRules.problems(model, plan, savings));
    refuseIfAny(problems);
    return new Policy(
        model,
        plan,
        repair(root.path("repair")),
        savings,
        calibration(root.path("calibration")),
        tool(root.path("tool")),
        PolicySchema.unknownFields(root));
  }

  private static ModelIdentity model(JsonNode node, SharingMap map) {
    if (node.isMissingNode()) {
      return ModelIdentity.ofLayers(map.layers());
    }
    return new ModelIdentity(
        text(node, "model_type"),
        node.path("num_hidden_layers").intValue(),
        integer(node, "num_attention_heads"),
        integer(node, "num_key_value_heads"),
        integer(node, "head_dim"),
        text(node, "fingerprint"));
  }

  private UpwardReading upward(JsonNode node) {
    if (!node.isObject()) {
      return null;
    }
    if (node.path("tolerance").asDouble(0) > 0) {
      LOGGER.warn(
          "{} has $.upper.tolerance, at which earlier releases ended the passes over a prompt: it is ignored, all passes are run.",
          origin);
    }
    return node.has("sequential")
        ? new UpwardReading.Sequential()
        : new UpwardReading.Parallel(
            node.path("forward_passes").intValue(), node.path("backward_passes").asInt(0));
  }

  private static RepairReference repair(JsonNode node) {
    return node.isObject()
        ? new RepairReference(text(node, "file"), text(node, "sha256"), texts(node.path("tensors")))
        : null;
  }

  private static Savings savings(JsonNode node) {
    return node.isObject()
        ? new Savings(
            node.path("kv_layers").intValue(),
            node.path("kv_fraction").doubleValue(),
            node.path("kv_bytes_per_token").longValue())
        : null;
  }

  private static Provenance calibration(JsonNode node) {
    if (!node.isObject()) {
      return null;
    }
    return Provenance.builder()
        .strategy(text(node, "strategy"))
        .threshold(number(node, "threshold"))
        .similarity(number(node, "similarity"))
        .dataset(dataset(node.path("dataset")))
        .samples(integer(node, "samples"))
        .tokensPerSample(integer(node, "tokens_per_sample"))
        .seed(isAbsent(node.path("seed")) ? null : Long.valueOf(node.path("seed").longValue()))
        .accepted(candidates(node.path("accepted")))
        .rejected(candidates(node.path("rejected")))
        .compared(compared(node.path("compared")))
        .repairDataset(dataset(node.path("repair_dataset")))
        .validation(validation(node.path("validation")))
        .build();
  }

  private static DatasetReference dataset(JsonNode node) {
    return node.isObject() ? new DatasetReference(text(node, "name"), text(node, "sha256")) : null;
  }

  private static List<ComparedStrategy> compared(JsonNode node) {
    return StreamSupport.stream(node.spliterator(), false)
        .map(
            entry ->
                new ComparedStrategy(
                    text(entry, "strategy"),
                    entry.path("shared_layers").intValue(),
                    entry.path("reached").booleanValue(),
                    entry.path("kl_divergence").doubleValue(),
                    entry.path("perplexity_ratio").doubleValue(),
                    entry.path("top1_agreement").doubleValue(),
                    entry.path("similarity").doubleValue()))
        .toList();
  }

  private static Validation validation(JsonNode node) {
    return node.isObject()
        ? new Validation(
            node.path("tokens").longValue(),
            node.path("similarity").doubleValue(),
            node.path("kl_divergence").doubleValue(),
            node.path("perplexity_ratio").doubleValue(),
            node.path("top1_agreement").doubleValue(),
            node.path("kl_divergence_without_repair").doubleValue())
        : null;
  }

  private static List<Candidate> candidates(JsonNode node) {
    return StreamSupport.stream(node.spliterator(), false)
        .map(
            entry ->
                new Candidate(
                    entry.path("layer").intValue(),
                    entry.path("source").intValue(),
                    number(entry, "distance"),
                    number(entry, "similarity"),
                    integer(entry, "samples")))
        .toList();
  }

  private static ToolVersion tool(JsonNode node) {
    return node.isObject() ? new ToolVersion(text(node, "name"), text(node, "version")) : null;
  }

  private static boolean isAbsent(JsonNode node) {
    return node.isMissingNode() || node.isNull();
  }

  private static String text(JsonNode node, String field) {
    return isAbsent(node.path(field)) ? null : node.path(field).textValue();
  }

  private static Integer integer(JsonNode node, String field) {
    return isAbsent(node.path(field)) ? null : Integer.valueOf(node.path(field).intValue());
  }

  private static Double number(JsonNode node, String field) {
    return isAbsent(node.path(field)) ? null : Double.valueOf(node.path(field).doubleValue());
  }

  private static List<Integer> integers(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false).map(JsonNode::intValue).toList();
  }

  private static List<String> texts(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false).map(JsonNode::textValue).toList();
  }

  private void refuseIfAny(List<String> problems) {
    if (!problems.isEmpty()) {
      throw refusal(problems);
    }
  }

  private PolicyFormatException refusal(List<String> problems) {
    String listed =
        IntStream.range(0, Math.min(problems.size(), MAX_LISTED_PROBLEMS))
            .mapToObj(
                i ->
                    problems.size() == 1
                        ? problems.get(i)
                        : "(%d) %s".formatted(i + 1, problems.get(i)))
            .collect(Collectors.joining("; "));
    String more =
        problems.size() > MAX_LISTED_PROBLEMS
            ? "; and %d more".formatted(problems.size() - MAX_LISTED_PROBLEMS)
            : "";
    return new PolicyFormatException(
        "%s is not a usable policy: %s%s. Correct the file, or write a new one with `kvshare calibrate`."
            .formatted(origin, listed, more));
  }
}
