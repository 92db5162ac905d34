package dev.kvshare.apply.fuzz;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files damaged at random are read, or refused by an error that is meant for the user. */
class MutatedFilesTest {
  private static final Path RESOURCES =
      Path.of(System.getProperty("kvshare.root"), "apply/src/test/resources");

  @TempDir private Path folder;

  private Parsers parsers;

  @BeforeEach
  void open() {
    parsers = new Parsers(folder);
  }

  @Test
  void safetensors() {
    double refused = check("safetensors", 31, sound("safetensors", "two"), 800);
    assertTrue(refused > 0.5 && refused < 1, "refused " + refused);
  }

  @ParameterizedTest
  @ValueSource(strings = {"bpe", "bare"})
  void gguf(String name) {
    double refused = check("gguf", 37, sound("gguf", name), 400);
    assertTrue(refused > 0.25 && refused < 1, "refused " + refused);
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama", "llama_yarn", "gpt2", "gemma2", "mixtral"})
  void configurations(String golden) {
    check(
        "configuration", 41, List.of(read("goldens/architectures/" + golden + "/config.json")), 80);
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt-2", "llama-bpe", "gemma-spm"})
  void tokenizers(String name) {
    check("tokenizer", 43, List.of(read("tokenizers/" + name + "/tokenizer.json")), 100);
  }

  @Test
  void policies() {
    check(
        "policy",
        53,
        Stream.of("complete-0.1.0", "version-2/complete", "version-2/windowed")
            .map(name -> read("dev/kvshare/apply/policy/" + name + ".json"))
            .toList(),
        600);
  }

  @Test
  void refittedWeights() {
    int bytes;
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.architecture("llama"))) {
      bytes = ModelFamilies.spec(checkpoint).hiddenSize() * Float.BYTES;
    }
    byte[] header =
        "{\"%s\": {\"dtype\": \"F32\", \"shape\": [%d], \"data_offsets\": [0, %d]}}"
            .formatted(Parsers.REFITTED, bytes / Float.BYTES, bytes)
            .getBytes(StandardCharsets.UTF_8);
    byte[] sound =
        ByteBuffer.allocate(Long.BYTES + header.length + bytes)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(header.length)
            .put(header)
            .array();
    check("refittedWeights", 59, List.of(sound), 300);
  }

  @ParameterizedTest
  @ValueSource(strings = {"smollm2", "llama3", "qwen2.5"})
  void templates(String name) {
    check("template", 61, sound("template", name), 60);
  }

  private double check(String kind, long seed, List<byte[]> sound, int count) {
    return Mutations.check(kind, seed, sound, count, parsers.of(kind));
  }

  /** A file that fuzzing starts from too. */
  private static List<byte[]> sound(String kind, String name) {
    return List.of(read("dev/kvshare/apply/fuzz/ParsersFuzzTestInputs/" + kind + "/" + name));
  }

  private static byte[] read(String resource) {
    try {
      return Files.readAllBytes(RESOURCES.resolve(resource));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
