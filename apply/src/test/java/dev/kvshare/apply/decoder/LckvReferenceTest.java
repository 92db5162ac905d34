package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Logits of the schemes of the LCKV authors' code, in one call and token by token. */
@Tag("numerics")
class LckvReferenceTest {
  private static final double TOLERANCE = 1e-3;

  /** Passes amplify rounding; the authors' own variants differ by 1.5e-3 among each other. */
  private static final double UPWARD_TOLERANCE = 1e-2;

  private static final Path REFERENCE = Goldens.ROOT.resolve("reference");
  private static final Path VARIANTS = REFERENCE.resolve("lckv_variants.safetensors");
  private static final Path LOGITS = REFERENCE.resolve("lckv_logits.safetensors");

  private static Decoder decoder;
  private static long[] ids;
  private static int prompt;

  @BeforeAll
  static void load() throws IOException {
    JsonNode golden = golden("lckv.json");
    ids =
        StreamSupport.stream(golden.get("input_ids").spliterator(), false)
            .mapToLong(JsonNode::asLong)
            .toArray();
    prompt = golden.get("prefill_tokens_in_incremental_mode").asInt();
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  private static JsonNode golden(String file) throws IOException {
    return new ObjectMapper().readTree(REFERENCE.resolve(file).toFile());
  }

  static Stream<Arguments> targets() throws IOException {
    return configs("lckv.json")
        .flatMap(
            config ->
                config.properties().stream()
                    .filter(field -> field.getKey().startsWith("target_"))
                    .map(field -> Arguments.of(field.getValue().asText(), field.getKey(), config)));
  }

  static Stream<Arguments> variants() throws IOException {
    return configs("lckv_variants.json")
        .map(config -> Arguments.of(config.get("name").asText(), config));
  }

  private static Stream<JsonNode> configs(String file) throws IOException {
    return StreamSupport.stream(golden(file).get("configs").spliterator(), false);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("targets")
  void givesTheLogitsOfTheAuthorsCode(String tensor, String target, JsonNode config) {
    boolean plusOne = target.endsWith("_window_plus_one");
    Plan plan = plan(config, plusOne);
    boolean incremental = target.contains("incremental");

    float[] found = logits(plan, incremental ? tokenByToken(prompt) : List.of());

    assertEquals(0, Goldens.difference(Goldens.floats(LOGITS, tensor), found), tolerance(plan));
  }

  /** Random layer types, chains included, and settings; windows of the flash-attention class. */
  @ParameterizedTest(name = "{0}")
  @MethodSource("variants")
  void givesTheLogitsOfTheAuthorsCodeOnRandomSettings(String name, JsonNode config)
      throws IOException {
    Plan plan = plan(config, true);
    Map<String, List<Integer>> cuts =
        Map.of(
            "full", List.of(),
            "incremental", tokenByToken(prompt),
            "twice", List.of(config.get("second_prompt").asInt()));

    for (Map.Entry<String, List<Integer>> mode : cuts.entrySet()) {
      float[] found = rows(logits(plan, mode.getValue()));

      float[] expected = Goldens.floats(VARIANTS, name + "/" + mode.getKey());
      double rounding = config.get("rounding").get(mode.getKey()).asDouble();
      assertEquals(
          0,
          Goldens.difference(expected, found),
          TOLERANCE + 10 * rounding,
          config + " " + mode.getKey());
    }
  }

  private static double tolerance(Plan plan) {
    return plan.map().hasUpwardSources() ? UPWARD_TOLERANCE : TOLERANCE;
  }

  private static List<Integer> tokenByToken(int from) {
    return IntStream.range(from, ids.length).boxed().toList();
  }

  private static Plan plan(JsonNode config, boolean plusOne) {
    UpwardReading reading =
        UpwardReading.lckv(
            config.get("forward_passes").asInt(),
            config.get("backward_passes").asInt(),
            config.get("use_sequential").asBoolean());
    int window = config.get("sliding_window").asInt() + (plusOne ? 1 : 0);
    return LayerTypes.parse(config.get("layer_types").asText())
        .plan(window, reading, config.get("force_nodiag").asBoolean());
  }

  /** Logits [T, V] of all tokens, given in several calls that end at the cuts and at the end. */
  private static float[] logits(Plan plan, List<Integer> cuts) {
    int vocabulary = decoder.spec().vocabularySize();
    float[] logits = new float[ids.length * vocabulary];
    List<Integer> ends = new ArrayList<>(cuts);
    ends.add(ids.length);
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), 1, 1)) {
      NDArray input = manager.create(ids, new Shape(1, ids.length));
      int start = 0;
      for (int end : ends) {
        NDArray part = input.get(":, " + start + ":" + end);
        NDArray run =
            end == start + 1 && start > 0
                ? decoder.decode(part.reshape(1), cache)
                : decoder.forward(part, cache);
        float[] found = Goldens.take(run);
        System.arraycopy(found, 0, logits, start * vocabulary, found.length);
        start = end;
      }
    }
    return logits;
  }

  private static float[] rows(float[] logits) throws IOException {
    int vocabulary = decoder.spec().vocabularySize();
    JsonNode rows = golden("lckv_variants.json").get("rows");
    float[] chosen = new float[rows.size() * vocabulary];
    for (int row = 0; row < rows.size(); row++) {
      System.arraycopy(
          logits, rows.get(row).asInt() * vocabulary, chosen, row * vocabulary, vocabulary);
    }
    return chosen;
  }
}
