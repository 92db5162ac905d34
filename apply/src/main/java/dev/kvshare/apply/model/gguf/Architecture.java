package dev.kvshare.apply.model.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.UnaryOperator;

/**
 * The table of one architecture. Keys are given without the architecture's prefix, tensors without
 * {@code .weight} or {@code .bias} and with {@code {}} for the layer.
 */
final class Architecture {

  /** A metadata key and the configuration key that it becomes. */
  record Key(String gguf, String config, Kind kind, boolean required) {}

  /** Kinds of values. */
  enum Kind {
    NATURAL,
    NUMBER
  }

  /** The Hugging Face name of a tensor, and what to undo. */
  record Name(String huggingFace, TensorTransform transform) {}

  private final String name;
  private final List<Key> keys = new ArrayList<>();
  private final Set<String> ignoredKeys = new HashSet<>();
  private final Map<String, JsonNode> constants = new LinkedHashMap<>();
  private final Map<String, String> biases = new LinkedHashMap<>();
  private final Map<String, Name> tensors = new LinkedHashMap<>();
  private final List<BiConsumer<GgufContents, ObjectNode>> derivations = new ArrayList<>();

  private Architecture(String name) {
    this.name = name;
  }

  /** Starts the table of the architecture with this {@code general.architecture}. */
  static Architecture named(String name) {
    return new Architecture(name);
  }

  /** A key with a whole number that must be there. */
  Architecture natural(String gguf, String config) {
    keys.add(new Key(gguf, config, Kind.NATURAL, true));
    return this;
  }

  /** A key with a whole number that may be absent. */
  Architecture optionalNatural(String gguf, String config) {
    keys.add(new Key(gguf, config, Kind.NATURAL, false));
    return this;
  }

  /** A key with a number that must be there. */
  Architecture number(String gguf, String config) {
    keys.add(new Key(gguf, config, Kind.NUMBER, true));
    return this;
  }

  /** A key with a number that may be absent. */
  Architecture optionalNumber(String gguf, String config) {
    keys.add(new Key(gguf, config, Kind.NUMBER, false));
    return this;
  }

  /** Keys that do not change the computation. */
  Architecture ignored(String... gguf) {
    ignoredKeys.addAll(List.of(gguf));
    return this;
  }

  /** A configuration value that the architecture implies. */
  Architecture constant(String config, String value) {
    constants.put(config, TextNode.valueOf(value));
    return this;
  }

  /** A configuration flag that is true when the first layer has the tensor. */
  Architecture biasFlag(String config, String tensor) {
    biases.put(config, tensor);
    return this;
  }

  /** A tensor that is stored as the Hugging Face model has it. */
  Architecture tensor(String gguf, String huggingFace) {
    return tensor(gguf, huggingFace, TensorTransform.NONE);
  }

  /** A tensor that the converter changed. */
  Architecture tensor(String gguf, String huggingFace, TensorTransform transform) {
    tensors.put(gguf, new Name(huggingFace, transform));
    return this;
  }

  /** What several architectures have alike. */
  Architecture with(UnaryOperator<Architecture> common) {
    return common.apply(this);
  }

  /** A step that fills further configuration keys. */
  Architecture derive(BiConsumer<GgufContents, ObjectNode> derivation) {
    derivations.add(derivation);
    return this;
  }

  String name() {
    return name;
  }

  List<Key> keys() {
    return keys;
  }

  Set<String> ignoredKeys() {
    return ignoredKeys;
  }

  Map<String, JsonNode> constants() {
    return constants;
  }

  Map<String, String> biases() {
    return biases;
  }

  Map<String, Name> tensors() {
    return tensors;
  }

  List<BiConsumer<GgufContents, ObjectNode>> derivations() {
    return derivations;
  }

  /** What the converter of llama.cpp did to a tensor, and so what is undone when it is read. */
  enum TensorTransform {
    NONE,
    /** Rows of query heads interleaved for llama.cpp's rotary embedding. */
    INTERLEAVED_QUERY_HEADS,
    /** Rows of key heads interleaved for llama.cpp's rotary embedding. */
    INTERLEAVED_KEY_HEADS,
    /** A norm's weight with 1 added, where the Hugging Face model adds it when it computes. */
    ONE_ADDED,
    /** Rows and columns exchanged. */
    TRANSPOSED,
    /** Tensors of the heads stacked; the Hugging Face name has a second {@code {}} for the head. */
    STACKED_HEADS
  }
}
