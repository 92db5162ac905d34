package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.storage.JsonFiles;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
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

  PolicyReader(String origin) {
    this.origin = origin;
  }

  Policy read(byte[] bytes) {
    JsonNode document = parse(bytes);
    if (!(document instanceof ObjectNode root)) {
      throw refusal(List.of("$: found %s, expected an object".formatted(document.getNodeType())));
    }
    int version = version(root.path("schema"));
    PolicySchema schema = version == 1 ? PolicySchema.VERSION_1 : PolicySchema.VERSION_2;
    refuseIfAny(schema.problems(root));
    // Elsewhere a misspelt field is a note that nobody reads; here it may be meant for the plan.
    for (Map.Entry<String, JsonNode> field : root.properties()) {
      if (!schema.names(field.getKey())) {
        LOGGER.warn(
            "{} has the field $.{}, which this release does not know: it is kept, but changes nothing.",
            origin,
            field.getKey());
      }
    }
    List<String> problems = new ArrayList<>();
    ObjectNode tree = root;
    if (version == 1) {
      refuseIfAny(PolicyVersion1.problems(root));
      tree = PolicyVersion1.upgrade(root, origin);
    }
    Policy policy = PolicyJson.policy(tree, problems);
    refuseIfAny(
        version == 1 ? problems.stream().map(PolicyVersion1::inItsWords).toList() : problems);
    warnOfSavings(policy, tree.path("savings"));
    return policy;
  }

  private JsonNode parse(byte[] bytes) {
    try {
      return JsonFiles.parseExactly(bytes);
    } catch (JsonFiles.MalformedException e) {
      throw new PolicyException.Format(
          "%s has %s. Correct the file, or write a new one with `kvshare calibrate`."
              .formatted(origin, e.getMessage()),
          e);
    }
  }

  private int version(JsonNode schema) {
    Matcher matcher = VERSION.matcher(schema.asText());
    if (!schema.isTextual() || !matcher.matches()) {
      throw refusal(
          List.of(
              "$.schema: found %s, expected \"%s\""
                  .formatted(schema.isMissingNode() ? "nothing" : schema, PolicyFile.SCHEMA)));
    }
    int major = Integer.parseInt(matcher.group(1));
    if (major < 1 || major > PolicyFile.MAJOR_VERSION) {
      throw new PolicyException.Version(
          "%s has the schema version \"%s\", which is too %s: this release reads kvshare.policy/1 and %s. %srite the policy again with `kvshare calibrate`."
              .formatted(
                  origin,
                  schema.asText(),
                  major < 1 ? "old" : "new",
                  PolicyFile.SCHEMA,
                  major < 1 ? "W" : "Install a newer kvshare, or w"));
    }
    return major;
  }

  private void warnOfSavings(Policy policy, JsonNode stated) {
    Policy.Savings counted = policy.savings();
    boolean alike =
        Math.abs(stated.path("kv_fraction").asDouble() - counted.kvFraction()) < 1e-9
            && stated.path("kv_bytes_per_token").asLong(counted.kvBytesPerToken())
                == counted.kvBytesPerToken();
    if (stated.has("context") && !alike) {
      LOGGER.warn(
          "{} states savings that do not follow from its plan: of {} tokens {} of the cache is kept, and a further token takes {} bytes.",
          origin,
          counted.context(),
          counted.kvFraction(),
          counted.kvBytesPerToken());
    }
  }

  private void refuseIfAny(List<String> problems) {
    if (!problems.isEmpty()) {
      throw refusal(problems);
    }
  }

  private PolicyException.Format refusal(List<String> problems) {
    int shown = Math.min(problems.size(), MAX_LISTED_PROBLEMS);
    String listed =
        IntStream.range(0, shown)
            .mapToObj(
                i ->
                    problems.size() == 1
                        ? problems.get(i)
                        : "(%d) %s".formatted(i + 1, problems.get(i)))
            .collect(Collectors.joining("; "));
    String more = problems.size() > shown ? "; and %d more".formatted(problems.size() - shown) : "";
    return new PolicyException.Format(
        "%s is not a usable policy: %s%s. Correct the file, or write a new one with `kvshare calibrate`."
            .formatted(origin, listed, more));
  }
}
