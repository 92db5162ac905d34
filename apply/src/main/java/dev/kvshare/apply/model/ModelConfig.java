package dev.kvshare.apply.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * A model's configuration in the keys of Hugging Face's {@code config.json}. Typed getters check
 * what they find and name file, key, found value and rule when it is wrong. A key whose value is
 * {@code null} counts as absent. The configuration remembers which keys were asked for, so that a
 * family can refuse those it does not know.
 */
public final class ModelConfig {
  private final Path origin;
  private final String prefix;
  private final ObjectNode json;
  private final Map<String, String> names;
  private final Set<String> readKeys = new TreeSet<>();

  /** Wraps a configuration; messages name {@code origin}. */
  public ModelConfig(Path origin, ObjectNode json) {
    this(origin, json, Map.of());
  }

  /**
   * Wraps a configuration that was made from a file of other keys.
   *
   * @param names the key of the file by the key here, for messages
   */
  public ModelConfig(Path origin, ObjectNode json, Map<String, String> names) {
    this(origin, "", json, names);
  }

  private ModelConfig(Path origin, String prefix, ObjectNode json, Map<String, String> names) {
    this.origin = origin;
    this.prefix = prefix;
    this.json = json.deepCopy();
    this.names = Map.copyOf(names);
  }

  /** The file that the configuration comes from. */
  public Path origin() {
    return origin;
  }

  /** A copy of the whole configuration. Does not count as reading its keys. */
  public ObjectNode json() {
    return json.deepCopy();
  }

  /** The key {@code model_type}. */
  public String modelType() {
    return string("model_type");
  }

  /** Whether the key is there and not null. Counts as reading it. */
  public boolean has(String key) {
    return node(key) != null;
  }

  /** Whether the key is there and not null. Does not count as reading it. */
  public boolean contains(String key) {
    return json.hasNonNull(key);
  }

  /** Whether the value is a JSON object. */
  public boolean isObject(String key) {
    JsonNode node = node(key);
    return node != null && node.isObject();
  }

  public int integer(String key) {
    return integer(key, require(key, "a whole number"));
  }

  /** A whole number, or {@code absent} when the key is absent. */
  public int integer(String key, int absent) {
    JsonNode node = node(key);
    return node == null ? absent : integer(key, node);
  }

  /** A whole number of at least 1. */
  public int positive(String key) {
    int value = integer(key);
    if (value < 1) {
      throw invalid(key, "a whole number of at least 1 is expected");
    }
    return value;
  }

  /**
   * A whole number from 1 to {@code most}: one for each of which something is allocated before the
   * weights show that they are there.
   */
  public int count(String key, int most) {
    int value = positive(key);
    if (value > most) {
      throw invalid(key, "a whole number from 1 to %,d is expected".formatted(most));
    }
    return value;
  }

  /** As {@link #count}, or {@code absent} when the key is absent. */
  public int countOr(String key, int absent, int most) {
    return has(key) ? count(key, most) : absent;
  }

  /** A whole number of at least 1, or {@code absent} when the key is absent. */
  public int positiveOr(String key, int absent) {
    return has(key) ? positive(key) : absent;
  }

  public double number(String key) {
    return number(key, require(key, "a number"));
  }

  /** A number, or {@code absent} when the key is absent. */
  public double number(String key, double absent) {
    JsonNode node = node(key);
    return node == null ? absent : number(key, node);
  }

  /** A number above 0, or {@code absent} when the key is absent. */
  public double above0(String key, double absent) {
    double value = number(key, absent);
    if (!(value > 0)) {
      throw invalid(key, "a number above 0 is expected");
    }
    return value;
  }

  /** A truth value, or {@code absent} when the key is absent. */
  public boolean bool(String key, boolean absent) {
    JsonNode node = node(key);
    if (node != null && !node.isBoolean()) {
      throw invalid(key, "true or false is expected");
    }
    return node == null ? absent : node.booleanValue();
  }

  public String string(String key) {
    return string(key, require(key, "a text"));
  }

  /** A text, or {@code absent} (which may be null) when the key is absent. */
  public String string(String key, String absent) {
    JsonNode node = node(key);
    return node == null ? absent : string(key, node);
  }

  /** A list of texts; empty when the key is absent. */
  public List<String> strings(String key) {
    return list(key, "an array of texts", node -> string(key, node));
  }

  /** A list of whole numbers; empty when the key is absent. */
  public List<Integer> integers(String key) {
    return list(key, "an array of whole numbers", node -> integer(key, node));
  }

  /** A list of numbers; empty when the key is absent. */
  public List<Double> numbers(String key) {
    return list(key, "an array of numbers", node -> number(key, node));
  }

  /** A nested object, or null when the key is absent. It keeps its own list of read keys. */
  public ModelConfig child(String key) {
    JsonNode node = node(key);
    if (node != null && !node.isObject()) {
      throw invalid(key, "an object is expected");
    }
    return node == null
        ? null
        : new ModelConfig(origin, prefix + key + ".", (ObjectNode) node, names);
  }

  /** Keys with a value that no getter was asked for, sorted. */
  public Set<String> unreadKeys() {
    Set<String> keys = new TreeSet<>();
    json.fieldNames().forEachRemaining(keys::add);
    keys.removeIf(key -> !contains(key) || readKeys.contains(key));
    return keys;
  }

  /** An error about a value that no model has: names file, key, found value and the rule. */
  public CheckpointException.Unsupported invalid(String key, String rule) {
    return error(key, "but " + rule + ". The file is damaged: download the model again");
  }

  /** An error about a value that is sound, but asks for what kvshare does not compute. */
  public CheckpointException.Unsupported unsupported(String key, String reason) {
    return error(key, reason + ": this model is not supported");
  }

  /** How the file itself calls a key. */
  public String nameInFile(String key) {
    return names.getOrDefault(prefix + key, prefix + key);
  }

  private CheckpointException.Unsupported error(String key, String rest) {
    return new CheckpointException.Unsupported(
        "%s: the key '%s' is %s, %s."
            .formatted(origin, nameInFile(key), contains(key) ? json.get(key) : "absent", rest));
  }

  private JsonNode node(String key) {
    readKeys.add(key);
    JsonNode node = json.get(key);
    return node == null || node.isNull() ? null : node;
  }

  private JsonNode require(String key, String kind) {
    JsonNode node = node(key);
    if (node == null) {
      throw invalid(key, kind + " is expected");
    }
    return node;
  }

  private int integer(String key, JsonNode node) {
    if (!node.isNumber() || !node.canConvertToExactIntegral() || !node.canConvertToInt()) {
      throw invalid(key, "a whole number below 2147483648 is expected");
    }
    return node.intValue();
  }

  private double number(String key, JsonNode node) {
    if (!node.isNumber() || !Double.isFinite(node.doubleValue())) {
      throw invalid(key, "a finite number is expected");
    }
    return node.doubleValue();
  }

  private String string(String key, JsonNode node) {
    if (!node.isTextual()) {
      throw invalid(key, "a text is expected");
    }
    return node.textValue();
  }

  private <T> List<T> list(String key, String kind, Function<JsonNode, T> element) {
    JsonNode node = node(key);
    if (node != null && !node.isArray()) {
      throw invalid(key, kind + " is expected");
    }
    return node == null ? List.of() : node.valueStream().map(element).toList();
  }
}
