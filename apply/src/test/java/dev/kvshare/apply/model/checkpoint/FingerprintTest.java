package dev.kvshare.apply.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.kvshare.apply.model.Checkpoint;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FingerprintTest {
  private static final String OLD =
      "{\"hidden_size\": 8, \"rope_theta\": 10000.0, \"rope_scaling\": {\"type\": \"linear\","
          + " \"factor\": 2}, \"torch_dtype\": \"float32\", \"sliding_window\": null}";
  private static final String NEW =
      "{\"rope_parameters\": {\"factor\": 2.0, \"rope_type\": \"linear\", \"rope_theta\": 10000},"
          + " \"transformers_version\": \"5.23.0\", \"hidden_size\": 8}";

  @TempDir Path folder;

  /** Policies keep it, so it must not change; this one was computed by hand from the definition. */
  @Test
  void isStable() throws IOException {
    assertEquals(
        "sha256:8d9c513594722df17bd578e27c88e8f004668f7ff07888d091e9e7c9e00a68d6",
        of("a", OLD, "w", weights()));
  }

  @Test
  void doesNotDependOnTheGenerationOfTheConfiguration() throws IOException {
    assertEquals(of("a", OLD, "w", weights()), of("b", NEW, "w", weights()));
  }

  @Test
  void dependsOnConfigurationNamesAndWeights() throws IOException {
    String base = of("a", OLD, "w", weights());
    assertNotEquals(base, of("b", OLD.replace("8", "16"), "w", weights()));
    assertNotEquals(base, of("c", OLD.replace("linear", "dynamic"), "w", weights()));
    assertNotEquals(base, of("d", OLD, "v", weights()));
    for (int at : new int[] {0, weights().length - 1}) {
      byte[] weights = weights();
      weights[at]++;
      assertNotEquals(base, of("e" + at, OLD, "w", weights));
    }
  }

  private static byte[] weights() {
    byte[] weights = new byte[8000];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = (byte) (i * 31);
    }
    return weights;
  }

  private String of(String model, String config, String name, byte[] weights) throws IOException {
    byte[] header =
        "{\"%s\": {\"dtype\": \"F32\", \"shape\": [2000], \"data_offsets\": [0, 8000]}}"
            .formatted(name)
            .getBytes(StandardCharsets.US_ASCII);
    ByteBuffer file =
        ByteBuffer.allocate(8 + header.length + weights.length).order(ByteOrder.LITTLE_ENDIAN);
    file.putLong(header.length).put(header).put(weights);
    Path directory = Files.createDirectory(folder.resolve(model));
    Files.writeString(directory.resolve("config.json"), config);
    Files.write(directory.resolve("model.safetensors"), file.array());
    try (Checkpoint checkpoint = Checkpoints.open(directory)) {
      return Fingerprint.of(checkpoint);
    }
  }
}
