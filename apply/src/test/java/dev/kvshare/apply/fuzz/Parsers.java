package dev.kvshare.apply.fuzz;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.RepairReference;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.RefittedWeights;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What reads the files of strangers, each from the bytes of one file to the end of what checks
 * them. A file is read, or refused by an error that is meant for the user; anything else is a
 * fault.
 */
final class Parsers {
  /** A bias that a repair may add to the golden Llama model. */
  static final String REFITTED = "model.layers.1.self_attn.o_proj.bias";

  /** All that is told of files that say more in JSON than is compared. */
  private static final String JSON_FILE = "json";

  /** The name of the JSON library is not for users, unless their file holds it. */
  private static final String LIBRARY = "com.fasterxml";

  private static final List<ChatMessage> CONVERSATION =
      List.of(
          ChatMessage.system("Be brief."),
          ChatMessage.user("Grüße, is 3 < 4?"),
          ChatMessage.assistant("Yes."),
          ChatMessage.user(""));

  /** What a template is told that asks for the date, as in {@code make_fuzz_verdicts.py}. */
  private static final LocalDateTime NOW = LocalDateTime.of(2026, 11, 23, 15, 4, 5);

  private final Path folder;
  private final Map<String, Path> goldens = new TreeMap<>();

  /**
   * @param folder where the files are written
   */
  Parsers(Path folder) {
    this.folder = folder;
  }

  /**
   * A parser of one kind of file.
   *
   * @param refusal the type of its refusals
   * @param fragment what each refusal says, such as the name of the file
   */
  record Parser(Class<? extends RuntimeException> refusal, String fragment, Reader reader) {

    /** What reads a file, and tells what stands in it for a comparison with another reader. */
    @FunctionalInterface
    interface Reader {
      Object read(byte[] file) throws Exception;
    }

    /**
     * Reads a file.
     *
     * @return what the reader tells, or the {@link Refusal}
     * @throws Exception a fault
     */
    Object read(byte[] file) throws Exception {
      try {
        return reader.read(file);
      } catch (RuntimeException e) {
        String message = String.valueOf(e.getMessage());
        if (refusal.isInstance(e)
            && message.contains(fragment)
            && (!message.contains(LIBRARY)
                || new String(file, StandardCharsets.ISO_8859_1).contains(LIBRARY))) {
          return new Refusal(message);
        }
        throw e;
      }
    }
  }

  /** A file that was refused as files are to be refused. */
  record Refusal(String message) {}

  /** One by name: {@code safetensors}, {@code gguf}, {@code configuration} and so on. */
  Parser of(String kind) {
    return switch (kind) {
      case "safetensors" -> safetensors();
      case "gguf" -> gguf();
      case "configuration" -> configuration();
      case "tokenizer" -> tokenizer();
      case "policy" -> policy();
      case "refittedWeights" -> refittedWeights();
      case "template" -> template();
      default -> throw new IllegalArgumentException(kind);
    };
  }

  /** Header, and each tensor as stored. */
  private Parser safetensors() {
    return new Parser(CheckpointException.class, "model.safetensors", this::readSafetensors);
  }

  /** Metadata, each tensor as float32, the model's specification and its tokenizer. */
  private Parser gguf() {
    return new Parser(CheckpointException.class, "model.gguf", this::readGguf);
  }

  /** A {@code config.json} beside the weights of a golden model of the family it names. */
  private Parser configuration() {
    return new Parser(CheckpointException.class, folder.toString(), this::readConfiguration);
  }

  /** {@code tokenizer.json}, and one text through it. */
  private Parser tokenizer() {
    return new Parser(CheckpointException.class, "tokenizer.json", this::readTokenizer);
  }

  /** A policy. */
  private Parser policy() {
    Path file = folder.resolve("policy.json");
    return new Parser(
        PolicyException.class,
        file.toString(),
        bytes -> {
          Policy unused = PolicyFile.read(Files.write(file, bytes));
          return JSON_FILE;
        });
  }

  /** The tensors of a repair of the golden Llama model, of which one is named. */
  private Parser refittedWeights() {
    return new Parser(PolicyException.class, "policy.safetensors", this::readRefittedWeights);
  }

  /** A chat template, rendered with a conversation. */
  private Parser template() {
    return new Parser(
        CheckpointException.Tokenizer.class,
        "chat_template.jinja",
        bytes ->
            new ChatTemplate(
                    "chat_template.jinja",
                    new String(bytes, StandardCharsets.UTF_8),
                    Map.of("bos_token", "<s>", "eos_token", "</s>"))
                .render(CONVERSATION, true, NOW));
  }

  /** The digest of each tensor's bytes. */
  private Map<String, String> readSafetensors(byte[] bytes) throws IOException {
    Path model = Files.createDirectories(folder.resolve("model"));
    Files.writeString(
        model.resolve("config.json"), "{\"model_type\": \"llama\", \"hidden_size\": 4}");
    Files.write(model.resolve("model.safetensors"), bytes);
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      Map<String, String> digests = new TreeMap<>();
      for (TensorInfo tensor : checkpoint.tensors().values()) {
        digests.put(tensor.name(), digest(checkpoint, tensor));
      }
      return digests;
    }
  }

  private static String digest(Checkpoint checkpoint, TensorInfo tensor) {
    ByteBuffer stored = ByteBuffer.allocate(Math.toIntExact(tensor.bytes()));
    checkpoint.readStored(tensor.name(), 0, stored);
    return Digest.sha256(stored.array()).substring(0, 16);
  }

  /** The digests of the tensors' bytes, sorted; those that become part of the configuration too. */
  private List<String> readGguf(byte[] bytes) throws IOException {
    Path file = Files.write(folder.resolve("model.gguf"), bytes);
    try (Checkpoint checkpoint = Checkpoints.open(file)) {
      List<String> digests = new ArrayList<>();
      for (TensorInfo tensor : checkpoint.tensors().values()) {
        digests.add(digest(checkpoint, tensor));
        if (tensor.dataType().isDecodable()) {
          checkpoint.read(
              tensor.name(),
              DataType.F32,
              ByteBuffer.allocateDirect(Math.toIntExact(tensor.elements()) * Float.BYTES));
        }
      }
      ModelFamilies.spec(checkpoint);
      if (!(checkpoint.tokenizerSource() instanceof TokenizerSource.None)) {
        encode(checkpoint.tokenizerSource(), checkpoint.config());
      }
      Collections.sort(digests);
      return digests;
    }
  }

  private String readConfiguration(byte[] bytes) throws IOException {
    String text = new String(bytes, StandardCharsets.UTF_8);
    Path golden = golden("llama");
    for (String name : List.of("gpt2", "gemma2", "gemma3_text", "mixtral", "phi3", "qwen3_moe")) {
      golden = text.contains("\"" + name + "\"") ? golden(name) : golden;
    }
    Files.write(golden.resolve("config.json"), bytes);
    try (Checkpoint checkpoint = Checkpoints.open(golden)) {
      ModelFamilies.spec(checkpoint);
    }
    return JSON_FILE;
  }

  private Path golden(String name) {
    return goldens.computeIfAbsent(
        name,
        key -> Goldens.copy(Goldens.architecture(key), folder.resolve("golden-" + key), c -> {}));
  }

  private List<Integer> readTokenizer(byte[] bytes) throws IOException {
    Files.write(folder.resolve("tokenizer.json"), bytes);
    return encode(
        new TokenizerSource.TokenizerFile(folder),
        new ModelConfig(
            folder.resolve("config.json"),
            new ObjectMapper().createObjectNode().put("vocab_size", 3000)));
  }

  private static List<Integer> encode(TokenizerSource source, ModelConfig config) {
    try (Tokenizer tokenizer = Tokenizer.load(source, config)) {
      int[] ids = tokenizer.encode("Grüße, 12345 words\n\n  it's", true);
      tokenizer.decode(ids, false);
      return Arrays.stream(ids).boxed().toList();
    }
  }

  private List<String> readRefittedWeights(byte[] bytes) throws IOException {
    ModelSpec spec;
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.architecture("llama"))) {
      spec = ModelFamilies.spec(checkpoint);
    }
    Path file = Files.write(folder.resolve("policy.safetensors"), bytes);
    // The digest is that of these bytes, so that all of the reader is met.
    RepairReference reference =
        new RepairReference("policy.safetensors", Digest.sha256(bytes), null, List.of(REFITTED));
    return List.copyOf(RefittedWeights.read(file, reference, spec).names());
  }
}
