package dev.kvshare.apply.generate;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.Mutations;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.policy.Policy.RepairReference;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.RefittedWeights;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files damaged at random are read, or refused by an error that is meant for the user. */
class MutatedFilesTest {
  private static final Path RESOURCES =
      Path.of(System.getProperty("kvshare.root"), "apply/src/test/resources");
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir private Path folder;

  @ParameterizedTest
  @ValueSource(strings = {"llama", "llama_yarn", "gpt2", "gemma2", "mixtral"})
  void configurations(String golden) throws IOException {
    Path copy = Goldens.copy(Goldens.architecture(golden), folder.resolve(golden), config -> {});
    Path file = copy.resolve("config.json");
    Mutations.check(
        "config.json of " + golden,
        41,
        List.of(Files.readAllBytes(file)),
        80,
        CheckpointException.class,
        copy.toString(),
        mutant -> {
          Files.write(file, mutant);
          try (Checkpoint checkpoint = Checkpoints.open(copy)) {
            ModelFamilies.spec(checkpoint);
          }
        });
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt-2", "llama-bpe", "gemma-spm"})
  void tokenizers(String name) throws IOException {
    Path file = folder.resolve("tokenizer.json");
    ModelConfig config =
        new ModelConfig(
            folder.resolve("config.json"), JSON.createObjectNode().put("vocab_size", 3000));
    Mutations.check(
        "tokenizer.json of " + name,
        43,
        List.of(Files.readAllBytes(RESOURCES.resolve("tokenizers/" + name + "/tokenizer.json"))),
        100,
        CheckpointException.class,
        file.toString(),
        mutant -> {
          Files.write(file, mutant);
          try (Tokenizer tokenizer =
              Tokenizer.load(new TokenizerSource.TokenizerFile(folder), config)) {
            tokenizer.decode(tokenizer.encode("Grüße, 12345 words\n\n  it's", true), false);
          }
        });
  }

  @Test
  void policies() throws IOException {
    List<byte[]> sound = new ArrayList<>();
    for (String name : List.of("complete-0.1.0", "version-2/complete", "version-2/windowed")) {
      sound.add(
          Files.readAllBytes(RESOURCES.resolve("dev/kvshare/apply/policy/" + name + ".json")));
    }
    Path file = folder.resolve("policy.json");
    Mutations.check(
        "policy",
        53,
        sound,
        600,
        PolicyException.class,
        file.toString(),
        mutant -> PolicyFile.read(Files.write(file, mutant)));
  }

  @Test
  void refittedWeights() throws IOException {
    ModelSpec spec;
    try (Checkpoint checkpoint = Checkpoints.open(TinyLlama.DIRECTORY)) {
      spec = ModelFamilies.spec(checkpoint);
    }
    String bias = "model.layers.1.self_attn.o_proj.bias";
    int bytes = spec.hiddenSize() * Float.BYTES;
    byte[] header =
        "{\"%s\": {\"dtype\": \"F32\", \"shape\": [%d], \"data_offsets\": [0, %d]}}"
            .formatted(bias, spec.hiddenSize(), bytes)
            .getBytes(StandardCharsets.UTF_8);
    byte[] sound =
        ByteBuffer.allocate(Long.BYTES + header.length + bytes)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(header.length)
            .put(header)
            .array();
    Path file = folder.resolve("policy.safetensors");
    // The digest is that of the mutant, so that all of the reader is met.
    Mutations.check(
        "refitted weights",
        59,
        List.of(sound),
        300,
        PolicyException.class,
        "policy.safetensors",
        mutant ->
            RefittedWeights.read(
                Files.write(file, mutant),
                new RepairReference(
                    "policy.safetensors", Digest.sha256(mutant), null, List.of(bias)),
                spec));
  }
}
