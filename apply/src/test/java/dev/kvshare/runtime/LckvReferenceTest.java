package dev.kvshare.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.policy.LayerTypes;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.policy.UpwardReading;
import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Logits of the schemes of the LCKV authors' code, in one call and token by token. */
class LckvReferenceTest {
  private static final double TOLERANCE = 1e-3;

  /** Passes amplify rounding; the authors' own variants differ by 1.5e-3 among each other. */
  private static final double UPWARD_TOLERANCE = 1e-2;

  private static final Path REFERENCE = Goldens.ROOT.resolve("reference");
  private static final Path LOGITS = REFERENCE.resolve("lckv_logits.safetensors");

  private static Decoder decoder;
  private static long[] ids;
  private static int prompt;

  @BeforeAll
  static void load() throws IOException {
    JsonNode golden = golden();
    ids =
        StreamSupport.stream(golden.get("input_ids").spliterator(), false)
            .mapToLong(JsonNode::asLong)
            .toArray();
    prompt = golden.get("prefill_tokens_in_incremental_mode").asInt();
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA)) {
      decoder = Decoder.load(checkpoint, Goldens.OPTIONS);
    }
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  private static JsonNode golden() throws IOException {
    return new ObjectMapper().readTree(REFERENCE.resolve("lckv.json").toFile());
  }

  static Stream<Arguments> targets() throws IOException {
    return StreamSupport.stream(golden().get("configs").spliterator(), false)
        .flatMap(
            config ->
                config.properties().stream()
                    .filter(field -> field.getKey().startsWith("target_"))
                    .map(field -> Arguments.of(field.getValue().asText(), field.getKey(), config)));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("targets")
  void givesTheLogitsOfTheAuthorsCode(String tensor, String target, JsonNode config) {
    boolean plusOne = target.endsWith("_window_plus_one");
    SharingPlan plan = plan(config, plusOne);
    int first = target.contains("incremental") ? prompt : ids.length;

    float[] found = logits(plan, first);

    double tolerance = plan.map().hasUpwardSources() ? UPWARD_TOLERANCE : TOLERANCE;
    assertEquals(0, Goldens.difference(Goldens.floats(LOGITS, tensor), found), tolerance);
  }

  private static SharingPlan plan(JsonNode config, boolean plusOne) {
    UpwardReading reading =
        config.get("use_sequential").asBoolean()
            ? new UpwardReading.Sequential()
            : new UpwardReading.Parallel(
                config.get("forward_passes").asInt(), config.get("backward_passes").asInt(), 0);
    int window = config.get("sliding_window").asInt() + (plusOne ? 1 : 0);
    return LayerTypes.parse(config.get("layer_types").asText()).plan(window, reading);
  }

  /** Logits [T, V] of all tokens: the first ones in one call, the rest one by one. */
  private static float[] logits(SharingPlan plan, int first) {
    int vocabulary = decoder.spec().vocabularySize();
    float[] logits = new float[ids.length * vocabulary];
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), 1, 1)) {
      NDArray input = manager.create(ids, new Shape(1, ids.length));
      float[] start = Goldens.take(decoder.forward(input.get(":, 0:" + first), cache));
      System.arraycopy(start, 0, logits, 0, start.length);
      for (int token = first; token < ids.length; token++) {
        float[] step = Goldens.take(decoder.decode(input.get(":, " + token), cache));
        System.arraycopy(step, 0, logits, token * vocabulary, vocabulary);
      }
    }
    return logits;
  }
}
