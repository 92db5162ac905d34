package dev.kvshare.apply.export;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
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

  private LckvExport() {}

  /**
   * Writes {@code config.json}, {@code model.safetensors} and the tokenizer's files.
   *
   * @param checkpoint an ordinary Llama model
   * @param repairFile the refitted weights of the policy, or null to leave them out
   * @param directory created if it is not there; files of these names are replaced
   * @throws ExportException if the LCKV code has no model for it, or no such windows
   */
  public static void write(
      Checkpoint checkpoint,
      Policy policy,
      Path repairFile,
      KeyValueWeights weights,
      Path directory) {
    String type = checkpoint.config().modelType();
    if (!type.equals(LLAMA)) {
      throw new ExportException(
          "The LCKV code has the model type %s only, but %s is of type %s. Use the policy with kvshare itself."
              .formatted(LLAMA, checkpoint.location(), type));
    }
    Plan plan = policy.plan();
    if (plan.windows() != null && plan.windows().first() > 0) {
      throw new ExportException(
          "The policy lets layers with a window see the first %d tokens of a text besides ('attention_sinks'), but windows of the LCKV code end at the last tokens. Use the policy with kvshare itself, or calibrate one without attention sinks."
              .formatted(plan.windows().first()));
    }
    try (LckvTensors tensors = new LckvTensors(checkpoint, plan.map(), weights, repairFile)) {
      SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", "pt"));
      tensors.addTo(writer);
      ObjectNode config =
          LckvConfig.of(
              checkpoint.config().json(), plan, tensors.attentionBias(), tensors.mlpBias());
      create(directory);
      AtomicFile.write(directory.resolve("model.safetensors"), writer::writeTo);
      AtomicFile.write(
          directory.resolve("config.json"),
          out -> out.write(JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(config)));
    }
    copyTokenizer(checkpoint.location(), directory);
  }

  private static void create(Path directory) {
    try {
      Files.createDirectories(directory);
    } catch (IOException e) {
      throw new OutputException(
          "Cannot create the folder %s (%s). Choose another place.".formatted(directory, e), e);
    }
  }

  private static void copyTokenizer(Path from, Path directory) {
    if (!Files.isDirectory(from)) {
      return;
    }
    List<Path> files;
    try (Stream<Path> entries = Files.list(from)) {
      files =
          entries
              .filter(file -> TOKENIZER_FILES.matcher(file.getFileName().toString()).matches())
              .sorted()
              .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    for (Path file : files) {
      AtomicFile.write(directory.resolve(file.getFileName()), out -> Files.copy(file, out));
    }
  }
}
