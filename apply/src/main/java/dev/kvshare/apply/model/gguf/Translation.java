package dev.kvshare.apply.model.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.gguf.Architecture.Kind;
import dev.kvshare.apply.model.gguf.GgufContents.GgufTensor;
import dev.kvshare.apply.model.storage.Problems;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.apply.model.storage.StoredTensor.BlockDecoder;
import dev.kvshare.apply.model.storage.StoredTensor.RowOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Presents the contents of a GGUF file as a Hugging Face model, by the table of its architecture.
 */
final class Translation {
  private static final Pattern TENSOR =
      Pattern.compile("(?:blk\\.(?<layer>\\d{1,6})\\.)?(?<stem>.+?)(?<kind>\\.weight|\\.bias)");

  /** Tensors that become part of the configuration. */
  private static final Set<String> CONFIGURATION_TENSORS =
      Set.of("rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight");

  private static final int MAX_NAMED_LAYERS = 1024;

  private final GgufContents contents;
  private final Problems problems;
  private final Architecture architecture;
  private final String prefix;

  /** The configuration in Hugging Face keys. */
  final ObjectNode config = JsonNodeFactory.instance.objectNode();

  /** The tensors in Hugging Face names and order. */
  final List<StoredTensor> tensors = new ArrayList<>();

  private Translation(GgufContents contents, Architecture architecture) {
    this.contents = contents;
    this.problems = contents.problems();
    this.architecture = architecture;
    this.prefix = architecture.name + ".";
  }

  /** Translates, recording problems of the contents; null when the architecture is not known. */
  static Translation of(GgufContents contents) {
    String name = contents.architecture();
    Architecture architecture = name == null ? null : Architectures.of(name);
    if (architecture == null) {
      contents
          .problems()
          .unsupported(
              "key 'general.architecture' is %s, but one of %s is supported"
                  .formatted(
                      contents.metadata().describe("general.architecture"), Architectures.names()));
      return null;
    }
    Translation translation = new Translation(contents, architecture);
    translation.translateKeys();
    contents.tensors().values().forEach(translation::translateTensor);
    return translation;
  }

  private void translateKeys() {
    config.setAll(architecture.constants);
    architecture.keys.forEach(this::translateKey);
    GgufTensor embedding = contents.tensors().get("token_embd.weight");
    if (embedding != null && embedding.sizes().size() == 2) {
      config.put("vocab_size", embedding.sizes().get(1));
    }
    config.put("tie_word_embeddings", !contents.hasTensor("output.weight"));
    architecture.biases.forEach((key, tensor) -> config.put(key, contents.hasTensor(tensor)));
    for (String name : List.of("bos_token_id", "eos_token_id")) {
      putIfPresent(name, config.numberNode(contents.metadata().natural("tokenizer.ggml." + name)));
    }
    architecture.derivations.forEach(derivation -> derivation.accept(contents, config));
    for (String key : contents.metadata().unreadKeys(prefix)) {
      if (!architecture.ignoredKeys.contains(key.substring(prefix.length()))) {
        problems.unsupported(
            "key '%s' (%s) is not understood and may change the computation"
                .formatted(key, contents.metadata().describe(key)));
      }
    }
  }

  /** The names in the file of configuration keys and tensors, for messages. */
  Map<String, String> names() {
    Map<String, String> names = new HashMap<>(RotaryKeys.names(prefix));
    names.put("model_type", "general.architecture");
    names.put("sliding_window", prefix + "attention.sliding_window");
    names.put("layer_types", prefix + "attention.sliding_window_pattern");
    architecture.keys.forEach(key -> names.put(key.config(), prefix + key.gguf()));
    int layers = namedLayers(config);
    architecture.tensors.forEach(
        (gguf, name) -> {
          for (int layer = 0; layer < (gguf.contains("{}") ? layers : 1); layer++) {
            String number = Integer.toString(layer);
            String stem = name.huggingFace().replaceFirst("\\{}", number);
            for (String kind : List.of(".weight", ".bias")) {
              names.put(stem + kind, gguf.replace("{}", number) + kind);
            }
          }
        });
    return names;
  }

  /** Layers whose names and kinds are written down; a model of more is refused later. */
  static int namedLayers(ObjectNode config) {
    return Math.min(MAX_NAMED_LAYERS, config.path("num_hidden_layers").asInt());
  }

  private void translateKey(Architecture.Key key) {
    String name = prefix + key.gguf();
    JsonNode value =
        switch (key.kind()) {
          case NATURAL, OPTIONAL_NATURAL -> config.numberNode(contents.uniform(name));
          case NUMBER, OPTIONAL_NUMBER -> config.numberNode(contents.metadata().number(name));
        };
    putIfPresent(key.config(), value);
    boolean required = key.kind() == Kind.NATURAL || key.kind() == Kind.NUMBER;
    if (required && !contents.metadata().has(name)) {
      problems.corrupt("key '" + name + "' is missing");
    }
  }

  private void putIfPresent(String key, JsonNode value) {
    if (!value.isNull()) {
      config.set(key, value);
    }
  }

  private void translateTensor(GgufTensor tensor) {
    if (CONFIGURATION_TENSORS.contains(tensor.name())) {
      return;
    }
    Matcher matcher = TENSOR.matcher(tensor.name());
    Architecture.Name name = null;
    String layer = null;
    if (matcher.matches()) {
      layer = matcher.group("layer");
      name = architecture.tensors.get((layer == null ? "" : "blk.{}.") + matcher.group("stem"));
    }
    if (name == null) {
      problems.unsupported(
          "tensor '%s' %s is not known in the architecture %s"
              .formatted(tensor.name(), tensor.shape(), architecture.name));
      return;
    }
    String stem = layer == null ? name.huggingFace() : fill(name.huggingFace(), layer);
    String kind = matcher.group("kind");
    TensorInfo info =
        new TensorInfo(stem + kind, tensor.dataType(), tensor.shape(), tensor.bytes());
    switch (name.transform()) {
      case NONE -> add(tensor, info, new RowOrder.AsIs(), 0);
      case INTERLEAVED_QUERY_HEADS ->
          add(tensor, info, interleaved(tensor, "num_attention_heads"), 0);
      case INTERLEAVED_KEY_HEADS ->
          add(tensor, info, interleaved(tensor, "num_key_value_heads"), 0);
      case ONE_ADDED -> add(tensor, info, new RowOrder.AsIs(), -1);
      case TRANSPOSED -> addTransposed(tensor, info);
      case STACKED_HEADS -> addHeads(tensor, stem, kind);
    }
  }

  private static String fill(String name, String value) {
    int at = name.indexOf("{}");
    return name.substring(0, at) + value + name.substring(at + 2);
  }

  private void add(GgufTensor tensor, TensorInfo info, RowOrder order, float shift) {
    BlockDecoder decoder = BlockDecoders.of(tensor.dataType());
    tensors.add(new StoredTensor(info, contents.file(), tensor.offset(), decoder, order, shift));
  }

  private void addTransposed(GgufTensor tensor, TensorInfo info) {
    if (tensor.sizes().size() == 2) {
      TensorInfo turned =
          new TensorInfo(info.name(), info.dataType(), tensor.sizes(), info.bytes());
      add(tensor, turned, new RowOrder.Transposed(), 0);
    } else {
      add(tensor, info, new RowOrder.AsIs(), 0);
    }
  }

  /** One tensor a row. */
  private void addHeads(GgufTensor tensor, String stem, String kind) {
    if (tensor.sizes().size() != 2) {
      problems.corrupt(
          "tensor '" + tensor.name() + "' has the sizes " + tensor.sizes() + " instead of two");
      return;
    }
    long size = tensor.sizes().get(0);
    long bytes = tensor.dataType().bytes(size);
    for (int head = 0; head < tensor.sizes().get(1); head++) {
      String name = fill(stem, Integer.toString(head)) + kind;
      TensorInfo info = new TensorInfo(name, tensor.dataType(), List.of(size), bytes);
      BlockDecoder decoder = BlockDecoders.of(tensor.dataType());
      tensors.add(
          StoredTensor.plain(info, contents.file(), tensor.offset() + head * bytes, decoder));
    }
  }

  private RowOrder interleaved(GgufTensor tensor, String headsKey) {
    long rows = tensor.shape().isEmpty() ? 1 : tensor.shape().get(0);
    long heads = config.path(headsKey).asLong(config.path("num_attention_heads").asLong());
    if (heads < 1 || rows % (2 * heads) != 0) {
      problems.corrupt(
          "tensor '%s' has %s rows, which do not divide into %s heads of even size"
              .formatted(tensor.name(), rows, heads));
      return new RowOrder.AsIs();
    }
    return new RowOrder.InterleavedHeads(Math.toIntExact(rows / heads));
  }
}
