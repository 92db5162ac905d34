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
  record Key(Kind kind, String gguf, String config) {}

  /** Kinds of values: whole numbers and others, which must be there or may be absent. */
  enum Kind {
    NATURAL,
    OPTIONAL_NATURAL,
    NUMBER,
    OPTIONAL_NUMBER
  }

  /** The Hugging Face name of a tensor, and what to undo. */
  record Name(String huggingFace, TensorTransform transform) {}

  /** The value of {@code general.architecture}. */
  final String name;

  final List<Key> keys = new ArrayList<>();
  final Set<String> ignoredKeys = new HashSet<>();
  final Map<String, JsonNode> constants = new LinkedHashMap<>();
  final Map<String, String> biases = new LinkedHashMap<>();
  final Map<String, Name> tensors = new LinkedHashMap<>();
  final List<BiConsumer<GgufContents, ObjectNode>> derivations = new ArrayList<>();

  Architecture(String name) {
    this.name = name;
  }

  /** A key with a number. */
  Architecture key(Kind kind, String gguf, String config) {
    keys.add(new Key(kind, gguf, config));
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

  /** A tensor of each layer that is stored as the Hugging Face model has it. */
  Architecture layer(String gguf, String huggingFace) {
    return layer(gguf, huggingFace, TensorTransform.NONE);
  }

  /** A tensor of each layer that the converter changed. */
  Architecture layer(String gguf, String huggingFace, TensorTransform transform) {
    return tensor("blk.{}." + gguf, "model.layers.{}." + huggingFace, transform);
  }

  /** What several architectures have alike. */
  @SafeVarargs
  final Architecture with(UnaryOperator<Architecture>... common) {
    Architecture table = this;
    for (UnaryOperator<Architecture> part : common) {
      table = part.apply(table);
    }
    return table;
  }

  /** A step that fills further configuration keys. */
  Architecture derive(BiConsumer<GgufContents, ObjectNode> derivation) {
    derivations.add(derivation);
    return this;
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
