package dev.kvshare.apply.export;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Writes a Llama checkpoint under a policy as one of the LCKV code (github.com/whyNLP/LCKV): its
 * configuration carries the map, and layers that read another one have no key and value weights.
 */
public final class LckvExport {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String LLAMA = "llama";
  private static final Pattern TOKENIZER_FILES =
      Pattern.compile(
          "(tokenizer.*|special_tokens_map|added_tokens|vocab|merges|chat_template|generation_config)"
              + "\\.(json|txt|model|jinja)");

  /** Which key and value weights a layer gets whose keys and values others read. */
  public enum KeyValueWeights {
    /** Its own: the export computes what the policy computes. */
    OWN,
    /**
     * The mean of those of its readers, as {@code convert_pretrained.py} of the LCKV code makes
     * them: a start for training.
     */
    AVERAGED
  }

  private LckvExport() {}

  /**
   * Writes {@code config.json}, {@code model.safetensors} and the tokenizer's files.
   *
   * @param checkpoint an ordinary Llama model
   * @param repairFile the refitted weights of the policy, or null to leave them out
   * @param directory created if it is not there; files of these names are replaced
   * @throws PolicyException.Unsupported if the LCKV code has no model for it, or no such windows
   */
  public static void write(
      Checkpoint checkpoint,
      Policy policy,
      Path repairFile,
      KeyValueWeights weights,
      Path directory) {
    String type = checkpoint.config().modelType();
    if (!type.equals(LLAMA)) {
      throw new PolicyException.Unsupported(
          "The LCKV code has the model type %s only, but %s is of type %s. Use the policy with kvshare itself."
              .formatted(LLAMA, checkpoint.location(), type));
    }
    Plan plan = policy.plan();
    if (plan.windows() != null && plan.windows().first() > 0) {
      throw new PolicyException.Unsupported(
          "The policy lets layers with a window see the first %d tokens of a text besides ('attention_sinks'), but windows of the LCKV code end at the last tokens. Use the policy with kvshare itself, or calibrate one without attention sinks."
              .formatted(plan.windows().first()));
    }
    try (CheckpointTensors tensors =
        new CheckpointTensors(checkpoint, plan.map(), weights, repairFile)) {
      SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", "pt"));
      boolean tied = tensors.tiedHead();
      tensors.addTo(writer, tied);
      ObjectNode config = config(checkpoint.config().json(), plan);
      config.put("tie_word_embeddings", tied);
      if (tensors.addsBias("self_attn")) {
        config.put("attention_bias", true);
      }
      if (tensors.addsBias("mlp")) {
        config.put("mlp_bias", true);
      }
      try {
        Files.createDirectories(directory);
      } catch (IOException e) {
        throw new OutputException(
            "Cannot create the folder %s (%s). Choose another place.".formatted(directory, e), e);
      }
      AtomicFile.write(directory.resolve("model.safetensors"), writer::writeTo);
      AtomicFile.write(
          directory.resolve("config.json"),
          out -> out.write(JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(config)));
    }
    copyTokenizer(checkpoint.location(), directory);
  }

  static void copyTokenizer(Path from, Path directory) {
    if (Files.isDirectory(from)) {
      try (Stream<Path> entries = Files.list(from)) {
        entries
            .filter(file -> TOKENIZER_FILES.matcher(file.getFileName().toString()).matches())
            .forEach(
                file ->
                    AtomicFile.write(
                        directory.resolve(file.getFileName()), out -> Files.copy(file, out)));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  /**
   * Turns a Llama configuration into one of {@code LCKVLlamaConfig} (models/configuration_lckv.py),
   * in the keys of the transformers release that this code runs with (4.45).
   */
  private static ObjectNode config(ObjectNode llama, Plan plan) {
    ObjectNode config = llama.deepCopy();
    config.remove("auto_map");
    config.put("model_type", "lckv-llama");
    config.putArray("architectures").add("LCKVLlamaForCausalLM");
    olderKeys(config);
    config.put("layer_types", LayerTypes.of(plan).toString());
    UpwardReading.Parallel passes =
        plan.upward() instanceof UpwardReading.Parallel parallel
            ? parallel
            : UpwardReading.LCKV_DEFAULT;
    // That code always runs a backward pass.
    int backward = Math.max(1, passes.backwardPasses());
    config.put("forward_passes", passes.passes() - backward);
    config.put("backward_passes", backward);
    config.put(
        "sliding_window",
        plan.windows() == null ? LayerTypes.DEFAULT_SLIDING_WINDOW : plan.windows().last());
    config.put("use_sequential", plan.upward() instanceof UpwardReading.Sequential);
    config.put("force_nodiag", false);
    return config;
  }

  /** Keys of transformers 5 in the words of 4.45. */
  private static void olderKeys(ObjectNode config) {
    JsonNode type = config.remove("dtype");
    if (type != null && !config.has("torch_dtype")) {
      config.set("torch_dtype", type);
    }
    if (config.remove("rope_parameters") instanceof ObjectNode rope) {
      JsonNode base = rope.remove("rope_theta");
      if (base != null) {
        config.set("rope_theta", base);
      }
      if (!rope.path("rope_type").asText("default").equals("default")) {
        config.set("rope_scaling", rope);
      }
    }
  }
}
