package dev.kvshare.apply.export;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.inference.Predictor;
import ai.djl.modality.Input;
import ai.djl.modality.Output;
import ai.djl.repository.zoo.Criteria;
import ai.djl.repository.zoo.ZooModel;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.export.FolderExport.Target;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.GenerationRequest;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.generate.Prompt;
import dev.kvshare.apply.generate.TokenListener;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Folders for other programs, of the built-in model. */
class FolderExportTest {
  private static final Path MODEL = Path.of(System.getProperty("kvshare.root"), "models/builtin");
  private static final Plan.Windows WINDOWS = Plan.Windows.of(List.of(2, 5), 2, 8);
  private static final Plan SHARED =
      Plan.of(SharingMap.of(0, 1, 2, 3, 3, 5, 6, 6, 8, 9, 10, 11)).withWindows(WINDOWS);

  @TempDir Path folder;

  /** Loaded as DJL-Serving does: by {@code serving.properties} alone. */
  @Test
  void djlServingLoadsItsFolder() throws Exception {
    Path export = export(Target.DJL, SHARED);
    Criteria<Input, Output> criteria =
        Criteria.builder().setTypes(Input.class, Output.class).optModelPath(export).build();
    try (ZooModel<Input, Output> model = criteria.loadModel();
        Predictor<Input, Output> predictor = model.newPredictor()) {
      Input input = new Input();
      input.add("It was a fine morning");
      String answer = predictor.predict(input).getData().getAsString();
      JsonNode json = new ObjectMapper().readTree(answer);
      assertEquals(text(MODEL, folder.resolve("policy.json")), json.get("generated_text").asText());
    }
  }

  @Test
  void linksTheWeightsAndKeepsTheConfiguration() throws IOException {
    Path export = export(Target.TRANSFORMERS, SHARED);
    Object key = Files.getAttribute(MODEL.resolve("model.safetensors"), "unix:ino");
    if (Files.getFileStore(MODEL).equals(Files.getFileStore(folder))) {
      assertEquals(key, Files.getAttribute(export.resolve("model.safetensors"), "unix:ino"));
    }
    assertEquals(-1, Files.mismatch(MODEL.resolve("config.json"), export.resolve("config.json")));
    assertTrue(Files.exists(export.resolve("tokenizer.json")));
    assertTrue(Files.readString(export.resolve("README.md")).contains("kvshare.apply_policy"));
    Path policy = export.resolve("kvshare/policy.json");
    assertEquals(text(MODEL, folder.resolve("policy.json")), text(export, policy));
  }

  /** The architecture's name makes vLLM refuse the folder without the plugin. */
  @Test
  void vllmFindsThePolicyInTheConfiguration() throws IOException {
    Path export = export(Target.VLLM, SHARED);
    JsonNode config = json(export);
    assertEquals("KvshareLlamaForCausalLM", config.get("architectures").get(0).asText());
    JsonNode policy = new ObjectMapper().readTree(export.resolve("kvshare/policy.json").toFile());
    assertEquals(policy, config.get("kvshare_policy"));
    assertEquals(
        text(MODEL, folder.resolve("policy.json")),
        text(export, export.resolve("kvshare/policy.json")),
        "the fingerprint is that of the model");
  }

  @Test
  void windowsAreSaidInTheConfiguration() throws IOException {
    Plan plan = Plan.identity(12).withWindows(WINDOWS);
    Path export = export(Target.WINDOWS, plan);
    JsonNode config = json(export);
    assertEquals(8, config.get("sliding_window").asInt());
    assertEquals(12, config.get("layer_types").size());
    for (int layer = 0; layer < 12; layer++) {
      assertEquals(
          plan.isWindowed(layer) ? "sliding_attention" : "full_attention",
          config.get("layer_types").get(layer).asText());
    }
    assertFalse(Files.exists(export.resolve("kvshare")));
  }

  /** A GGUF file becomes a Hugging Face directory, and the policy is one of it. */
  @ParameterizedTest
  @ValueSource(strings = {"llama", "llama3", "qwen2", "qwen3", "gemma3", "phi3"})
  void aGgufFileBecomesADirectory(String name) throws Exception {
    Path file =
        Path.of(
            Checkpoint.class
                .getResource("/dev/kvshare/apply/model/gguf/architectures/" + name + ".gguf")
                .toURI());
    Path export = folder.resolve("export");
    Policy policy;
    try (Checkpoint checkpoint = Checkpoints.open(file)) {
      ModelSpec spec = ModelFamilies.spec(checkpoint);
      Plan plan = spec.plan().withWindows(Plan.Windows.of(List.of(0), 1, 2));
      policy = Policy.of(ModelIdentity.of(checkpoint, spec), plan);
      FolderExport.write(Target.TRANSFORMERS, checkpoint, policy, null, export);
    }
    Path written = export.resolve("kvshare/policy.json");
    PolicyFile.write(policy, null, folder.resolve("policy.json"));
    assertEquals(ids(file, folder.resolve("policy.json")), ids(export, written));
    assertEquals(1, json(export).get("architectures").size());
  }

  private static List<Integer> ids(Path model, Path policy) {
    try (PolicyModel loaded = PolicyModel.load(model, policy)) {
      GenerationRequest request = GenerationRequest.of(new Prompt.Ids(List.of(5, 2, 3, 6)));
      return loaded.generate(request, TokenListener.NONE).completions().get(0).ids();
    }
  }

  @Test
  void refusesWhatATargetCannotRun() {
    Plan upward =
        Plan.of(SharingMap.of(0, 1, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11))
            .withUpward(new UpwardReading.Sequential());
    for (Target target : List.of(Target.TRANSFORMERS, Target.VLLM, Target.WINDOWS)) {
      assertRefused(target, upward, "sources above them");
    }
    assertRefused(Target.WINDOWS, SHARED, "keep their own keys and values");
    assertRefused(Target.WINDOWS, Plan.identity(12), "keep their own keys and values");
  }

  @Test
  void leavesNothingBehindWhereItFails() throws IOException {
    Path there = Files.createDirectory(folder.resolve("export"));
    Files.writeString(there.resolve("notes.txt"), "mine");
    OutputException refused = assertThrows(OutputException.class, () -> export(Target.DJL, SHARED));
    assertTrue(refused.getMessage().contains("not empty"), refused.getMessage());
    Files.delete(there.resolve("notes.txt"));
    var repair = new Policy.RepairReference("w", "0".repeat(64), "0".repeat(64), List.of("t"));
    Path missing = folder.resolve("missing.safetensors");
    assertThrows(
        OutputException.class,
        () -> write(Target.DJL, Policy.of(identity(), SHARED).withRepair(repair), missing, there));
    try (Stream<Path> entries = Files.list(folder)) {
      assertEquals(
          List.of("export"),
          entries
              .map(file -> file.getFileName().toString())
              .filter(name -> !name.startsWith("policy"))
              .toList());
    }
  }

  private Path export(Target target, Plan plan) {
    Path directory = folder.resolve("export");
    Policy policy = Policy.of(identity(), plan);
    PolicyFile.write(policy, null, folder.resolve("policy.json"));
    write(target, policy, null, directory);
    return directory;
  }

  private void write(Target target, Policy policy, Path weights, Path directory) {
    try (Checkpoint checkpoint = Checkpoints.open(MODEL)) {
      FolderExport.write(target, checkpoint, policy, weights, directory);
    }
  }

  private void assertRefused(Target target, Plan plan, String fragment) {
    PolicyException.Unsupported refused =
        assertThrows(PolicyException.Unsupported.class, () -> export(target, plan));
    assertTrue(refused.getMessage().contains(fragment), refused.getMessage());
    assertTrue(refused.getMessage().contains(target.name().toLowerCase(Locale.ROOT)));
  }

  private static ModelIdentity identity() {
    try (Checkpoint checkpoint = Checkpoints.open(MODEL)) {
      return ModelIdentity.of(checkpoint, ModelFamilies.spec(checkpoint));
    }
  }

  private static JsonNode json(Path export) throws IOException {
    return new ObjectMapper().readTree(export.resolve("config.json").toFile());
  }

  private static String text(Path model, Path policy) {
    try (PolicyModel loaded = PolicyModel.load(model, policy)) {
      GenerationRequest request = GenerationRequest.of(new Prompt.Text("It was a fine morning"));
      return loaded.generate(request, TokenListener.NONE).completions().get(0).text();
    }
  }
}
