package dev.kvshare.apply.export;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.export.LckvExport.KeyValueWeights;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.TokenizerSource.GgufTokenizer;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.model.tokenizer.TokenizerExport;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * Writes a model and a policy as a folder for another program, with a README that has the command
 * to run it. The weights are hard links to the model's where the file system can, else copies; a
 * GGUF file becomes a Hugging Face directory, but for DJL. The folder gets its name when all of it
 * is there.
 *
 * <p>The policy lies in {@value #POLICY}, where no program takes its weights for the model's.
 */
public final class FolderExport {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String POLICY = "kvshare/policy.json";
  private static final Map<String, String> ARCHITECTURES =
      Map.of(
          "llama", "LlamaForCausalLM",
          "mistral", "MistralForCausalLM",
          "qwen2", "Qwen2ForCausalLM",
          "qwen3", "Qwen3ForCausalLM",
          "gemma3_text", "Gemma3ForCausalLM",
          "phi3", "Phi3ForCausalLM");
  private static final String CONFIG = "config.json";
  private static final String INDEX = "model.safetensors.index.json";
  private static final String SINGLE = "model.safetensors";

  /** The programs that a folder can be for. */
  public enum Target {
    /** Hugging Face transformers with the Python package kvshare. */
    TRANSFORMERS(
        """
        import kvshare, transformers
        model = transformers.AutoModelForCausalLM.from_pretrained("%1$s")
        kvshare.apply_policy(model, "%1$s/kvshare/policy.json")
        tokenizer = transformers.AutoTokenizer.from_pretrained("%1$s")
        inputs = tokenizer("It was a fine morning", return_tensors="pt")
        print(tokenizer.decode(model.generate(**inputs, max_new_tokens=32)[0]))
        """,
        Set.of("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3"),
        "It needs the Python package kvshare (`apply/python`). Without it the model runs unshared."),
    /** vLLM with the plugin of the Python package kvshare. */
    VLLM(
        "vllm serve %s%s\n",
        Set.of("llama", "mistral", "qwen2", "qwen3", "gemma3_text"),
        "It needs the Python package kvshare with its vLLM plugin, which knows the architecture that `config.json` names and finds the policy there as `kvshare_policy`, and its weights in the folder `kvshare`. Without the plugin vLLM refuses the model."),
    /** DJL and DJL-Serving. */
    DJL(
        "djl-serving -m kvshare::PyTorch=file://%s\n",
        null,
        "The jars of kvshare and of what it needs must be on the class path of DJL-Serving (its folder `deps`). A Java program loads the folder by `Criteria` with `optModelPath`."),
    /** Engines that read windows from the configuration of a Llama model. */
    WINDOWS(
        "vllm serve %s\n",
        Set.of("llama"),
        "It is a stock checkpoint: `layer_types` and `sliding_window` in `config.json` say which layers have a window. vLLM and MLX-LM follow them in Llama models; transformers does not, use the export `transformers` there. No engine keeps the first tokens beside a window, and prompts are windowed too.");

    private final String command;

    // Made by Set.of, which is immutable.
    @SuppressWarnings("ImmutableEnumChecker")
    private final Set<String> familiesOrNull;

    private final String notes;

    Target(String command, Set<String> familiesOrNull, String notes) {
      this.command = command;
      this.familiesOrNull = familiesOrNull;
      this.notes = notes;
    }

    /**
     * Refuses models that the program cannot run under a policy.
     *
     * @param modelType as {@code config.json} has it
     * @throws PolicyException.Unsupported with the reason
     */
    public void checkFamily(String modelType) {
      if (familiesOrNull != null && !familiesOrNull.contains(modelType)) {
        throw refused(
            this,
            "the model is of the family %s, and only %s run under one there"
                .formatted(modelType, String.join(", ", new TreeSet<>(familiesOrNull))));
      }
    }

    /** Whether layers may read sources above them. */
    public boolean readsUpward() {
      return this == DJL;
    }

    /** Whether prompts can only be computed under the plan, and not exactly. */
    public boolean computesPromptsUnderThePlan() {
      return this == VLLM || this == WINDOWS;
    }
  }

  private FolderExport() {}

  /**
   * Refuses what the target cannot run.
   *
   * @throws PolicyException.Unsupported with the reason
   */
  public static void check(Target target, Checkpoint checkpoint, Policy policy) {
    Plan plan = policy.plan();
    target.checkFamily(checkpoint.config().modelType());
    if (plan.map().hasUpwardSources() && !target.readsUpward()) {
      throw refused(target, "layers read sources above them, which it cannot do: " + plan.map());
    }
    if (target == Target.WINDOWS) {
      if (plan.windows() == null || !plan.map().isIdentity()) {
        throw refused(
            target,
            "only plans whose layers keep their own keys and values, some with a window, can be said in a stock configuration: "
                + plan);
      }
    }
    if (target == Target.VLLM
        && plan.prefill() == Plan.Prefill.EXACT
        && (!plan.map().isIdentity() || policy.repair() != null)) {
      throw refused(
          target,
          "it computes prompts exactly, which the plugin does for windows without refitted weights only. Calibrate with --for vllm");
    }
    if (target == Target.VLLM && architectures(checkpoint.config().json()).size() != 1) {
      throw refused(target, "config.json has no entry 'architectures' with one name");
    }
  }

  /** The plan that stock engines compute: no first tokens, prompts under the plan. */
  public static Policy asStock(Policy policy) {
    Plan.Windows windows = policy.plan().windows();
    Plan plan =
        policy
            .plan()
            .withWindows(Plan.Windows.of(windows.layers(), 0, windows.last()))
            .withPrefill(Plan.Prefill.PLAN);
    return policy.withPlan(plan);
  }

  /**
   * Writes the folder.
   *
   * @param weights its refitted weights, or null to leave them out
   * @param directory must not be there, or be empty
   */
  public static void write(
      Target target, Checkpoint checkpoint, Policy policy, Path weights, Path directory) {
    check(target, checkpoint, policy);
    Path folder = directory.toAbsolutePath().normalize();
    Path partial = folder.resolveSibling("." + folder.getFileName() + ".partial");
    try {
      requireEmpty(folder);
      delete(partial);
      Files.createDirectories(partial);
      try {
        content(target, checkpoint, policy, weights, partial);
        Files.writeString(partial.resolve("README.md"), readme(target, policy, folder));
        Files.deleteIfExists(folder);
        Files.move(partial, folder, StandardCopyOption.ATOMIC_MOVE);
      } finally {
        delete(partial);
      }
    } catch (IOException e) {
      throw new OutputException(
          "Cannot write the folder %s (%s). Choose another place, or make room."
              .formatted(folder, e),
          e);
    }
  }

  private static void content(
      Target target, Checkpoint checkpoint, Policy policy, Path weights, Path folder)
      throws IOException {
    Path model = checkpoint.location();
    if (target == Target.WINDOWS) {
      stock(checkpoint, policy.plan(), weights, folder);
      return;
    }
    ObjectNode config = checkpoint.config().json().deepCopy();
    Policy written = policy;
    if (Files.isDirectory(model)) {
      for (String name : weightFiles(model)) {
        link(model.resolve(name), folder.resolve(name));
      }
      if (target != Target.VLLM) {
        link(model.resolve(CONFIG), folder.resolve(CONFIG));
      }
      writeTokenizer(checkpoint, folder);
    } else if (target == Target.DJL) {
      link(model, folder.resolve(model.getFileName()));
    } else {
      Plan whole = Plan.identity(policy.map().layers());
      writeTensors(checkpoint, whole, null, config, folder);
      writeConfig(config, folder);
      writeTokenizer(checkpoint, folder);
      written = policy.withModel(identity(folder));
    }
    Path copy = folder.resolve(POLICY);
    Files.createDirectories(copy.getParent());
    if (weights == null) {
      PolicyFile.write(written.withRepair(null), null, copy);
    } else {
      PolicyFile.write(written, null, copy);
      Files.copy(weights, copy.resolveSibling(policy.repair().file()));
    }
    if (target == Target.VLLM) {
      ArrayNode names = architectures(config);
      names.set(0, "Kvshare" + names.get(0).asText());
      config.set("architectures", names);
      config.set("kvshare_policy", JSON.readTree(copy.toFile()));
      writeConfig(config, folder);
    } else if (target == Target.DJL) {
      String factory = "dev.kvshare.apply.djl.KvshareTranslatorFactory";
      String gguf = Files.isDirectory(model) ? "" : "model=" + model.getFileName() + "\n";
      Files.writeString(
          folder.resolve("serving.properties"),
          """
          engine=PyTorch
          translatorFactory=%1$s
          blockFactory=%1$s
          option.hasParameter=false
          policy=%2$s
          dtype=float32
          %3$s"""
              .formatted(factory, POLICY, gguf));
    }
  }

  /** A checkpoint with windows in its configuration and refitted weights in place of its own. */
  private static void stock(Checkpoint checkpoint, Plan plan, Path weights, Path folder)
      throws IOException {
    ObjectNode config = checkpoint.config().json().deepCopy();
    writeTensors(checkpoint, plan, weights, config, folder);
    ArrayNode types = config.putArray("layer_types");
    for (int layer = 0; layer < plan.map().layers(); layer++) {
      types.add(plan.isWindowed(layer) ? "sliding_attention" : "full_attention");
    }
    config.put("sliding_window", plan.windows().last());
    writeConfig(config, folder);
    writeTokenizer(checkpoint, folder);
  }

  /** Writes all tensors in one file, with refitted ones in their place, and says so in a config. */
  private static void writeTensors(
      Checkpoint checkpoint, Plan plan, Path weights, ObjectNode config, Path folder)
      throws IOException {
    try (CheckpointTensors tensors =
            new CheckpointTensors(checkpoint, plan.map(), KeyValueWeights.OWN, weights);
        OutputStream out = Files.newOutputStream(folder.resolve(SINGLE))) {
      SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", "pt"));
      tensors.addTo(writer, tensors.tiedHead());
      if (tensors.addsBias("self_attn")) {
        config.put("attention_bias", true);
      }
      writer.writeTo(out);
    }
    config.set("architectures", architectures(config));
  }

  /** The names in a configuration; that of a GGUF file has none, and its kind of model says it. */
  private static ArrayNode architectures(ObjectNode config) {
    JsonNode given = config.path("architectures");
    String name = ARCHITECTURES.get(config.path("model_type").asText());
    ArrayNode names = JSON.createArrayNode();
    if (given.isArray()) {
      given.forEach(names::add);
    } else if (name != null) {
      names.add(name);
    }
    return names;
  }

  private static void writeTokenizer(Checkpoint checkpoint, Path folder) {
    if (checkpoint.tokenizerSource() instanceof GgufTokenizer tokenizer) {
      TokenizerExport.write(tokenizer, checkpoint.config(), folder);
    } else {
      LckvExport.copyTokenizer(checkpoint.location(), folder);
    }
  }

  private static ModelIdentity identity(Path folder) {
    try (Checkpoint written = Checkpoints.open(folder)) {
      return ModelIdentity.of(written, ModelFamilies.spec(written));
    }
  }

  private static void writeConfig(ObjectNode config, Path folder) throws IOException {
    JSON.writerWithDefaultPrettyPrinter().writeValue(folder.resolve(CONFIG).toFile(), config);
  }

  /** The names of the files that hold the weights of a Hugging Face directory. */
  private static Set<String> weightFiles(Path model) throws IOException {
    Set<String> names = new TreeSet<>();
    if (Files.exists(model.resolve(SINGLE))) {
      names.add(SINGLE);
    } else {
      names.add(INDEX);
      for (JsonNode shard : JSON.readTree(model.resolve(INDEX).toFile()).path("weight_map")) {
        names.add(shard.asText());
      }
    }
    return names;
  }

  private static void link(Path from, Path to) throws IOException {
    Path file = from.toRealPath();
    try {
      Files.createLink(to, file);
    } catch (IOException | UnsupportedOperationException e) {
      Files.copy(file, to, StandardCopyOption.REPLACE_EXISTING);
    }
  }

  private static String readme(Target target, Policy policy, Path folder) {
    return """
        # A model under a policy of kvshare, for %s

        %s

        ```
        %s```

        %s
        """
        .formatted(
            target.name().toLowerCase(Locale.ROOT),
            "Plan: " + (target == Target.WINDOWS ? asStock(policy) : policy).plan() + ".",
            target.command.formatted(
                folder,
                policy.plan().prefill() == Plan.Prefill.EXACT
                    ? " --no-enable-chunked-prefill"
                    : ""),
            target.notes);
  }

  private static void requireEmpty(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    try (Stream<Path> entries = Files.list(folder)) {
      if (entries.findAny().isPresent()) {
        throw new OutputException(
            folder + " is there and not empty. Choose another place, or delete it.", null);
      }
    }
  }

  private static void delete(Path folder) throws IOException {
    if (Files.exists(folder)) {
      try (Stream<Path> entries = Files.walk(folder)) {
        for (Path entry : entries.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(entry);
        }
      }
    }
  }

  private static PolicyException.Unsupported refused(Target target, String reason) {
    return new PolicyException.Unsupported(
        "The policy cannot be exported for %s: %s."
            .formatted(target.name().toLowerCase(Locale.ROOT), reason));
  }
}
