package dev.kvshare.eval.check;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.eval.Goldens;
import dev.kvshare.eval.quality.EvaluationException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Tag("numerics")
class CheckpointCheckTest {
  private static final Path LLAMA = Goldens.file("architectures/llama/golden.safetensors");
  private static final Path REFERENCE = Goldens.file("reference/kvsharer_tiny_logits.safetensors");
  private static final int[] MAP_A = {0, 1, 2, 1, 4, 5, 2, 7};
  private static final int[] MAP_B = {0, 0, 0, 3, 3, 5, 6, 5};

  private static Decoder llama;
  private static Decoder tiny;

  @TempDir Path folder;

  @BeforeAll
  static void load() {
    llama = Goldens.decoder("architectures/llama");
    tiny = Goldens.decoder("reference/tiny_llama");
  }

  @AfterAll
  static void close() {
    llama.close();
    tiny.close();
  }

  private static CheckpointCheck.Request request(Path file, int prefillTokens, double tolerance) {
    return new CheckpointCheck.Request(
        file,
        Plan.identity(4),
        List.of(),
        CheckpointCheck.Request.LOGITS,
        prefillTokens,
        tolerance);
  }

  private static CheckResult check(CheckpointCheck.Request request) {
    return new CheckpointCheck(llama, Set.of(2)).run(request);
  }

  private static List<Integer> referenceIds() throws IOException {
    JsonNode ids =
        new ObjectMapper()
            .readTree(Goldens.file("reference/kvsharer_tiny.json").toFile())
            .at("/inference/input_ids");
    List<Integer> list = new ArrayList<>();
    ids.forEach(id -> list.add(id.asInt()));
    return list;
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 13, 20, 99})
  void theTinyLlamaComputesWhatTransformersComputes(int prefillTokens) {
    CheckResult result =
        check(request(LLAMA, prefillTokens, CheckpointCheck.Request.DEFAULT_TOLERANCE));

    assertTrue(result.passed(), result.toString());
    assertEquals(
        List.of("logits", "last_hidden"),
        result.tensors().stream().map(CheckResult.TensorDifference::tensor).toList());
    assertEquals(List.of(2L, 20L, 256L), result.tensors().get(0).shape());
    assertEquals(16, result.greedy().equal());
  }

  /** Positions of a chunk have the same numbers as all at once, and no more memory than allowed. */
  @ParameterizedTest
  @ValueSource(ints = {1, 7, 19})
  void logitsAreComparedInChunksOfPositions(int positions) {
    CheckpointCheck.Request request = request(LLAMA, 0, 0);
    CheckResult whole = new CheckpointCheck(llama, Set.of(2), 1L << 40).run(request);
    long bytes = 2L * 256 * Float.BYTES * positions;
    CheckResult chunked = new CheckpointCheck(llama, Set.of(2), bytes).run(request);

    for (int tensor = 0; tensor < 2; tensor++) {
      CheckResult.TensorDifference expected = whole.tensors().get(tensor);
      CheckResult.TensorDifference found = chunked.tensors().get(tensor);
      assertEquals(expected.maxDifference(), found.maxDifference(), 1e-5);
      assertEquals(expected.meanDifference(), found.meanDifference(), 1e-6);
    }
    try (StoredOutputs stored = new StoredOutputs(LLAMA)) {
      CheckpointCheck check = new CheckpointCheck(llama, Set.of(2), bytes);
      check.new Run(request, stored)
          .run(
              false,
              (start, count, logits) -> {
                assertTrue(count <= positions, count + " positions at once");
                assertEquals(2 * count * 256, logits.length);
              });
    }
  }

  @Test
  void saysWhereTheLargestDifferencesAre() {
    CheckResult.TensorDifference logits = check(request(LLAMA, 0, 0)).tensors().get(0);

    assertFalse(logits.passed());
    assertEquals(5, logits.largest().size());
    assertEquals(3, logits.largest().get(0).index().size());
    for (int i = 1; i < 5; i++) {
      assertTrue(logits.largest().get(i).difference() <= logits.largest().get(i - 1).difference());
    }
    assertTrue(logits.meanDifference() <= logits.maxDifference());
    assertEquals(logits.maxDifference(), logits.largest().get(0).difference());
  }

  @Test
  void anotherMapDoesNotPass() {
    CheckResult result =
        check(
            new CheckpointCheck.Request(
                LLAMA, Plan.of(SharingMap.of(0, 1, 1, 3)), List.of(), "logits", 0, 2e-4));

    assertFalse(result.passed());
    assertFalse(result.tensors().get(0).passed());
    assertFalse(result.tensors().get(1).passed());
    assertFalse(result.greedy().passed());
    assertTrue(result.greedy().margin() > 0);
  }

  @ParameterizedTest
  @CsvSource({
    "a/prefill_logits, 0", "a/stepwise_corrected_logits, 12",
    "b/prefill_logits, 0", "b/stepwise_corrected_logits, 12"
  })
  void sharedMapsComputeWhatTheReferenceComputes(String tensor, int prefillTokens)
      throws IOException {
    Plan plan = Plan.of(SharingMap.of(tensor.startsWith("a") ? MAP_A : MAP_B));
    CheckResult result =
        new CheckpointCheck(tiny, Set.of())
            .run(
                new CheckpointCheck.Request(
                    REFERENCE, plan, referenceIds(), tensor, prefillTokens, 1e-3));

    assertTrue(result.passed(), result.toString());
    assertNull(result.greedy());
  }

  @Test
  void refusesWhatDoesNotFit() {
    assertMessage(
        "has no tensor logits. It has a/prefill_logits[24, 256], ",
        new CheckpointCheck.Request(REFERENCE, Plan.identity(4), List.of(5), "logits", 0, 1));
    assertMessage("has no tensor input_ids", request(REFERENCE, 0, 1));
    assertMessage(
        "The tensor logits[2, 20, 256]",
        new CheckpointCheck.Request(LLAMA, Plan.identity(4), List.of(5, 6), "logits", 0, 1));
    assertMessage(
        "The token id 256 is outside",
        new CheckpointCheck.Request(LLAMA, Plan.identity(4), List.of(256), "logits", 0, 1));
    assertThrows(IllegalArgumentException.class, () -> request(LLAMA, -1, 1));
    assertThrows(IllegalArgumentException.class, () -> request(LLAMA, 0, Double.NaN));
  }

  private static void assertMessage(String fragment, CheckpointCheck.Request request) {
    String message = assertThrows(EvaluationException.class, () -> check(request)).getMessage();
    assertTrue(message.contains(fragment), message);
  }

  /**
   * Writes logits [256] of a last position, with one value replaced, beside ids of one sequence.
   */
  private Path lastPosition(float replaced) throws IOException {
    try (StoredOutputs stored = new StoredOutputs(LLAMA)) {
      float[] logits = stored.vectors("logits", 19, 1);
      logits[7] = Float.isNaN(replaced) ? Float.NaN : logits[7] + replaced;
      ByteBuffer data = ByteBuffer.allocate(20 * 4 + 256 * 4).order(ByteOrder.LITTLE_ENDIAN);
      for (int i = 0; i < 20; i++) {
        data.putInt((int) stored.integers("input_ids")[i]);
      }
      for (float logit : logits) {
        data.putFloat(logit);
      }
      String header =
          "{\"input_ids\":{\"dtype\":\"I32\",\"shape\":[20],\"data_offsets\":[0,80]},"
              + "\"logits\":{\"dtype\":\"F32\",\"shape\":[256],\"data_offsets\":[80,1104]}}";
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      out.write(
          ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.length()).array());
      out.write(header.getBytes(StandardCharsets.UTF_8));
      out.write(data.array());
      return Files.write(folder.resolve("last.safetensors"), out.toByteArray());
    }
  }

  @Test
  void comparesTheLastPositionAlone() throws IOException {
    assertTrue(check(request(lastPosition(0), 0, 2e-4)).passed());

    CheckResult.TensorDifference changed =
        check(request(lastPosition(0.5f), 0, 2e-4)).tensors().get(0);
    assertFalse(changed.passed());
    assertEquals(List.of(7), changed.largest().get(0).index());
    assertEquals(0.5, changed.maxDifference(), 1e-3);
  }

  @Test
  void notANumberNeverPasses() throws IOException {
    CheckResult result = check(request(lastPosition(Float.NaN), 0, 1e30));

    assertFalse(result.passed());
    assertEquals(List.of(7), result.tensors().get(0).largest().get(0).index());
  }
}
