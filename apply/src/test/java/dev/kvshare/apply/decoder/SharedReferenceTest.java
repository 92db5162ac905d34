package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.plan.SharingMap;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Logits under sharing maps against those of the KVSharer authors' code (the variant {@code
 * corrected} of its cache, which agrees with a single forward).
 */
@Tag("numerics")
class SharedReferenceTest {
  private static final double TOLERANCE = 1e-3;
  private static final Path LOGITS =
      Goldens.ROOT.resolve("reference/kvsharer_tiny_logits.safetensors");

  private static Decoder decoder;
  private static JsonNode inference;
  private static long[] ids;

  @BeforeAll
  static void load() throws IOException {
    Path file = Goldens.ROOT.resolve("reference/kvsharer_tiny.json");
    inference = new ObjectMapper().readTree(file.toFile()).get("inference");
    ids = new long[inference.get("input_ids").size()];
    for (int token = 0; token < ids.length; token++) {
      ids[token] = inference.get("input_ids").get(token).asLong();
    }
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"identity", "a", "b"})
  void oneForwardGivesTheReferenceLogits(String name) {
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(map(name), 1, ids.length)) {
      NDArray input = manager.create(ids, new Shape(1, ids.length));
      float[] logits = Goldens.take(decoder.forward(input, cache));

      float[] expected = Goldens.floats(LOGITS, name + "/prefill_logits");
      assertEquals(0, Goldens.difference(expected, logits), TOLERANCE);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"identity", "a", "b"})
  void promptAndSingleStepsGiveTheReferenceLogits(String name) {
    int prompt = inference.get("prefill").asInt();
    int vocabulary = decoder.spec().vocabularySize();
    float[] logits = new float[ids.length * vocabulary];
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(map(name), 1, 1)) {
      NDArray input = manager.create(ids, new Shape(1, ids.length));
      float[] first = Goldens.take(decoder.forward(input.get(":, 0:" + prompt), cache));
      System.arraycopy(first, 0, logits, 0, first.length);
      for (int token = prompt; token < ids.length; token++) {
        float[] step = Goldens.take(decoder.decode(input.get(":, " + token), cache));
        System.arraycopy(step, 0, logits, token * vocabulary, vocabulary);
      }
    }

    float[] expected = Goldens.floats(LOGITS, name + "/stepwise_corrected_logits");
    assertEquals(0, Goldens.difference(expected, logits), TOLERANCE);
  }

  private static SharingMap map(String name) {
    int[] sources = SharingMap.identity(decoder.spec().layers()).toArray();
    inference
        .get("maps")
        .get(name)
        .get("map")
        .properties()
        .forEach(entry -> sources[Integer.parseInt(entry.getKey())] = entry.getValue().asInt());
    return SharingMap.of(sources);
  }
}
