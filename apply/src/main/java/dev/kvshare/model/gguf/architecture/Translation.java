package dev.kvshare.model.gguf.architecture;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.model.DataType;
import dev.kvshare.model.TensorInfo;
import dev.kvshare.model.gguf.GgufContents;
import dev.kvshare.model.gguf.GgufTensor;
import dev.kvshare.model.gguf.quantisation.BlockDecoders;
import dev.kvshare.model.storage.RowOrder;
import dev.kvshare.model.storage.StoredTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Presents the contents of a GGUF file as a Hugging Face model, by the table of its architecture.
 */
public final class Translation {
  private static final Map<String, Architecture> ARCHITECTURES =
      Stream.of(LlamaArchitecture.table())
          .collect(Collectors.toMap(Architecture::name, Function.identity()));

  private static final Pattern TENSOR =
      Pattern.compile("(?:blk\\.(?<layer>\\d{1,6})\\.)?(?<stem>.+?)(?<kind>\\.weight|\\.bias)");

  /** Tensors that become part of the configuration. */
  private static final Set<String> CONFIGURATION_TENSORS = Set.of("rope_freqs.weight");

  private final GgufContents contents;
  private final Architecture architecture;
  private final String prefix;
  private final ObjectNode config = JsonNodeFactory.instance.objectNode();
  private final List<StoredTensor> tensors = new ArrayList<>();

  private Translation(GgufContents contents, Architecture architecture) {
    this.contents = contents;
    this.architecture = architecture;
    this.prefix = architecture.name() + ".";
  }

  /**
   * Translates, recording what cannot be translated as problems of the contents.
   *
   * @return null when the architecture is not known
   */
  public static Translation of(GgufContents contents) {
    String name = contents.architecture();
    Architecture architecture = name == null ? null : ARCHITECTURES.get(name);
    if (architecture == null) {
      contents
          .problems()
          .unsupported(
              "key 'general.architecture' is "
                  + contents.metadata().describe("general.architecture")
                  + ", but one of "
                  + ARCHITECTURES.keySet().stream().sorted().toList()
                  + " is supported");
      return null;
    }
    Translation translation = new Translation(contents, architecture);
    translation.translateKeys();
    contents.tensors().values().forEach(translation::translateTensor);
    return translation;
  }

  /** The configuration in Hugging Face keys. */
  public ObjectNode config() {
    return config;
  }

  /** The tensors in Hugging Face names and order. */
  public List<StoredTensor> tensors() {
    return tensors;
  }

  private void translateKeys() {
    config.setAll(architecture.constants());
    for (Architecture.Key key : architecture.keys()) {
      translateKey(key);
    }
    GgufTensor embedding = contents.tensors().get("token_embd.weight");
    if (embedding != null && embedding.sizes().size() == 2) {
      config.put("vocab_size", embedding.sizes().get(1));
    }
    config.put("tie_word_embeddings", !contents.hasTensor("output.weight"));
    architecture.biases().forEach((key, tensor) -> config.put(key, contents.hasTensor(tensor)));
    specialToken("bos_token_id");
    specialToken("eos_token_id");
    for (BiConsumer<GgufContents, ObjectNode> derivation : architecture.derivations()) {
      derivation.accept(contents, config);
    }
    for (String key : contents.metadata().unreadKeys(prefix)) {
      if (!architecture.ignoredKeys().contains(key.substring(prefix.length()))) {
        contents
            .problems()
            .unsupported(
                "key '"
                    + key
                    + "' ("
                    + contents.metadata().describe(key)
                    + ") is not understood and may change the computation");
      }
    }
  }

  private void translateKey(Architecture.Key key) {
    String name = prefix + key.gguf();
    boolean absent = !contents.metadata().has(name);
    if (key.kind() == Architecture.Kind.NATURAL) {
      Long value = contents.uniform(name);
      if (value != null) {
        config.put(key.config(), value);
      }
    } else {
      Double value = contents.metadata().number(name);
      if (value != null) {
        config.put(key.config(), value);
      }
    }
    if (absent && key.required()) {
      contents.problems().corrupt("key '" + name + "' is missing");
    }
  }

  private void specialToken(String name) {
    Long id = contents.metadata().natural("tokenizer.ggml." + name);
    if (id != null) {
      config.put(name, id);
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
      name = architecture.tensors().get((layer == null ? "" : "blk.{}.") + matcher.group("stem"));
    }
    if (name == null) {
      contents
          .problems()
          .unsupported(
              "tensor '"
                  + tensor.name()
                  + "' "
                  + tensor.shape()
                  + " is not known in the architecture "
                  + architecture.name());
      return;
    }
    String huggingFace =
        (layer == null ? name.huggingFace() : name.huggingFace().replace("{}", layer))
            + matcher.group("kind");
    tensors.add(store(tensor, huggingFace, name.transform()));
  }

  private StoredTensor store(GgufTensor tensor, String name, TensorTransform transform) {
    DataType type = tensor.dataType();
    TensorInfo info = new TensorInfo(name, type, tensor.shape(), tensor.bytes());
    RowOrder order =
        switch (transform) {
          case NONE -> new RowOrder.AsIs();
          case INTERLEAVED_QUERY_HEADS -> interleaved(info, tensor, "num_attention_heads");
          case INTERLEAVED_KEY_HEADS -> interleaved(info, tensor, "num_key_value_heads");
        };
    return new StoredTensor(
        info, contents.file(), tensor.offset(), BlockDecoders.of(type), order, 0);
  }

  private RowOrder interleaved(TensorInfo info, GgufTensor tensor, String headsKey) {
    long heads = config.path(headsKey).asLong(config.path("num_attention_heads").asLong());
    if (heads < 1 || info.rows() % (2 * heads) != 0) {
      contents
          .problems()
          .corrupt(
              "tensor '"
                  + tensor.name()
                  + "' has "
                  + info.rows()
                  + " rows, which do not divide into "
                  + heads
                  + " heads of even size");
      return new RowOrder.AsIs();
    }
    return new RowOrder.InterleavedHeads(Math.toIntExact(info.rows() / heads));
  }
}
