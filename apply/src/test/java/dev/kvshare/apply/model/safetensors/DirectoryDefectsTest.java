package dev.kvshare.apply.model.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class DirectoryDefectsTest {
  private static final byte[] ONE = SafetensorsFixture.vectors(List.of("a"), new float[] {1});

  @TempDir Path temporary;
  private Path model;

  @BeforeEach
  void makeDirectory() throws IOException {
    model = Files.createDirectory(temporary.resolve("model"));
  }

  @Test
  void missingDirectory() {
    refused(temporary.resolve("nowhere"), CheckpointException.class, "nowhere", "no such file");
  }

  @Test
  void weightsAlone() throws IOException {
    Path weights = Files.write(model.resolve("model.safetensors"), ONE);
    refused(weights, CheckpointException.class, "Give the directory", "config.json");
  }

  @Test
  void noConfiguration() throws IOException {
    Files.write(model.resolve("model.safetensors"), ONE);
    refused(model, CheckpointException.class, "no config.json", ".gguf");
  }

  @Test
  void noWeights() throws IOException {
    Files.writeString(model.resolve("config.json"), "{}");
    refused(model, CheckpointException.class, "neither model.safetensors", "[config.json]");
  }

  @ParameterizedTest
  @ValueSource(strings = {"pytorch_model.bin", "model.pt", "pytorch_model.bin.index.json"})
  void pickledWeights(String name) throws IOException {
    Files.writeString(model.resolve("config.json"), "{}");
    Files.writeString(model.resolve(name), "x");
    refused(model, CheckpointException.Unsupported.class, name, "can run any code", "safetensors");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "''|nothing",
        "[]|a JSON ARRAY",
        "{\"a\": 1, \"a\": 2}| is there twice",
        "{\"a\": 1|byte 7",
        "{} x|byte 4",
        "version https://git-lfs.github.com/spec/v1|git lfs pull",
        "<html>|web page",
      })
  void brokenConfiguration(String text, String fragment) throws IOException {
    Files.writeString(model.resolve("config.json"), text);
    refused(model, CheckpointException.Corrupt.class, "config.json", fragment);
  }

  @Test
  void allMissingShardsAreNamed() throws IOException {
    SafetensorsFixture.sharded(model, "{\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}");
    refused(
        model,
        CheckpointException.Corrupt.class,
        "index.json: 2 problems",
        "'one.safetensors' is missing",
        "'two.safetensors' is missing");
  }

  @Test
  void indexAndShardsMustNameTheSameTensors() throws IOException {
    SafetensorsFixture.sharded(
        model,
        "{\"a\": \"one.safetensors\", \"b\": \"one.safetensors\", \"c\": \"two.safetensors\"}");
    Files.write(model.resolve("one.safetensors"), ONE);
    Files.write(
        model.resolve("two.safetensors"),
        SafetensorsFixture.vectors(
            List.of("a", "c", "d"), new float[] {1}, new float[] {1}, new float[] {1}));
    refused(
        model,
        CheckpointException.Corrupt.class,
        "3 problems",
        "'one.safetensors' lacks tensor 'b'",
        "'two.safetensors' holds tensor 'a', which the index places in 'one.safetensors'",
        "'two.safetensors' holds tensor 'd', which the index does not name");
  }

  @ParameterizedTest
  @ValueSource(strings = {"{}", "[]", "5", "{\"a\": 5}"})
  void indexWithoutFileNames(String weightMap) throws IOException {
    SafetensorsFixture.sharded(model, weightMap);
    refused(model, CheckpointException.Corrupt.class, "weight_map");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"../outside.safetensors", "sub/../../outside.safetensors", "/outside.st", "", "."})
  void shardOutsideTheDirectory(String name) throws IOException {
    Files.write(temporary.resolve("outside.safetensors"), ONE);
    SafetensorsFixture.sharded(model, "{\"a\": \"" + name + "\"}");
    refused(model, CheckpointException.Corrupt.class, "leads out of the directory", "index.json");
  }

  @ParameterizedTest
  @ValueSource(strings = {"model.safetensors", "config.json", "tokenizer.json"})
  void linkToAFileOfAnotherUser(String name) throws IOException {
    SafetensorsFixture.directory(model, ONE);
    Files.deleteIfExists(model.resolve(name));
    Path outside = Files.write(temporary.resolve("outside"), ONE);
    try {
      Files.setOwner(
          outside,
          outside.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody"));
    } catch (IOException e) {
      // Only root may give files away; others cannot own what is there already.
      outside = Path.of("/etc/passwd");
    }
    Files.createSymbolicLink(model.resolve(name), outside);
    refused(
        model,
        CheckpointException.Corrupt.class,
        "'" + name + "' is a link that leads out",
        outside.toString());
  }

  /** Older releases of huggingface_hub link the files of a local folder to their cache. */
  @Test
  void linkToAFileOfTheSameUser() throws IOException {
    SafetensorsFixture.directory(model, ONE);
    Path elsewhere = Files.createDirectory(temporary.resolve("elsewhere"));
    for (String name : List.of("model.safetensors", "config.json")) {
      Files.move(model.resolve(name), elsewhere.resolve(name));
      Files.createSymbolicLink(model.resolve(name), elsewhere.resolve(name));
    }
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      assertEquals(Set.of("a"), checkpoint.tensors().keySet());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"model.safetensors", "config.json"})
  @Timeout(20)
  void pipeInPlaceOfAFile(String name) throws Exception {
    SafetensorsFixture.directory(model, ONE);
    Files.delete(model.resolve(name));
    assertEquals(0, new ProcessBuilder("mkfifo", model.resolve(name).toString()).start().waitFor());
    assertTrue(
        assertThrows(CheckpointException.class, () -> Checkpoints.open(model).close())
            .getMessage()
            .matches("(?s).*" + name + ": .*a pipe.*"));
  }

  private static void refused(
      Path model, Class<? extends CheckpointException> type, String... fragments) {
    CheckpointException thrown =
        assertThrows(CheckpointException.class, () -> Checkpoints.open(model).close());
    assertEquals(type, thrown.getClass(), thrown.getMessage());
    for (String fragment : fragments) {
      assertTrue(
          thrown.getMessage().contains(fragment),
          () -> "'" + fragment + "' is not in: " + thrown.getMessage());
    }
  }
}
